import { InvalidArgumentError } from 'commander';
import type { Target } from './udpDevice.ts';

export interface ServerUrl extends Target {
  readonly secure: boolean;
}

export function parseUrl(text: string): ServerUrl {
  const match = /^(coaps?):\/\/(?:\[([^\]]+)\]|([^:/]+))(?::(\d{1,5}))?\/?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected coap://HOST:PORT or coaps://HOST:PORT');
  const secure = match[1] === 'coaps';
  const host = match[2] ?? match[3]!;
  return { secure, host: host === 'localhost' ? '127.0.0.1' : host, port: Number(match[4] ?? (secure ? 5684 : 5683)) };
}
