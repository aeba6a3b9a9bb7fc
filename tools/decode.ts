import { readFile, stat } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { OperatorError } from '../src/adapters/operatorError.ts';
import { type Bytes, fromHex } from '../src/base/bytes.ts';
import { fail } from '../src/cli/output.ts';
import { isCapture, readCapture } from './decode/capture.ts';
import { describe } from './decode/describe.ts';
import { KeyLogOpener } from './decode/keyLog.ts';

/** What a device and a server said to each other, in words. */
new Command('decode')
  .description('Print the DTLS records, handshake messages and CoAP messages of a datagram or a capture')
  .argument('<hex|file>', 'one datagram in hexadecimal, or a file: pcap, pcapng, or hexadecimal, a datagram a line')
  .option('--cid-length <bytes>', 'how long the connection IDs are: it stands nowhere in the record', parseLength, 8)
  .option('--key-log <file>', 'open protected records with the secrets in it: see serve --dangerous-key-log')
  .addHelpText(
    'after',
    `
Examples:
  tcpdump -i any -w device.pcap udp port 5684
  npm run decode -- device.pcap
  npm run decode -- device.pcap --key-log keys.log
  npm run decode -- 15fefd000000000000000300020228
`,
  )
  .action((input: string, options: DecodeOptions) => decode(input, options).catch(fail))
  .parse();

async function decode(input: string, { cidLength, keyLog }: DecodeOptions): Promise<void> {
  const opener = new KeyLogOpener(keyLog === undefined ? '' : await readKeyLog(keyLog));
  if (keyLog !== undefined && opener.size === 0) throw new OperatorError(`${keyLog} has no CLIENT_RANDOM lines`);
  const file = (await isFile(input)) ? new Uint8Array(await readFile(input)) : undefined;
  if (file !== undefined && isCapture(file)) {
    for (const { at, from, to, payload } of readCapture(file)) {
      const time = at === undefined ? '' : `${new Date(at).toISOString()} `;
      print(
        `${time}${from} → ${to}, ${payload.length} bytes`,
        describe(payload, cidLength, opener.datagram(from, to, payload, cidLength)),
      );
    }
    return;
  }
  const text = file === undefined ? input : new TextDecoder().decode(file);
  for (const line of text.split('\n').filter(each => each.trim() !== '')) {
    const datagram = hexOf(line);
    print(`${datagram.length} bytes`, describe(datagram, cidLength, opener.datagram('', '', datagram, cidLength)));
  }
}

function print(heading: string, lines: readonly string[]): void {
  process.stdout.write(`${heading}\n${lines.map(line => `  ${line}\n`).join('')}`);
}

/** Blanks and colons may stand between the bytes. */
function hexOf(text: string): Bytes {
  const bytes = fromHex(text.replaceAll(/[\s:]/g, ''));
  if (bytes === undefined) throw new OperatorError('neither a file nor hexadecimal');
  return bytes;
}

function readKeyLog(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new OperatorError(`the key log cannot be read: ${error.message}`);
  });
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    entry => entry.isFile(),
    () => false,
  );
}

function parseLength(text: string): number {
  const length = Number(text);
  if (!Number.isInteger(length) || length < 0 || length > 255) throw new InvalidArgumentError('expected 0 to 255');
  return length;
}

interface DecodeOptions {
  readonly cidLength: number;
  readonly keyLog?: string;
}
