import { Command } from 'commander';
import t from 'tap';
import { dtlsLimits, type LimitOptions, withLimitOptions } from '../../../src/cli/limitOptions.ts';
import { defaultLimits } from '../../../src/dtls/settings.ts';

function limitsOf(...args: string[]) {
  const command = withLimitOptions(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  return dtlsLimits(command.parse(args, { from: 'user' }).opts<LimitOptions>());
}

t.test('a server that is told nothing would have other limits than its code', async t => {
  for (const [limit, value] of Object.entries(limitsOf())) {
    t.strictSame(value, defaultLimits[limit as keyof typeof defaultLimits], limit);
  }
});

t.test('a slow link would be given up before its first flight came again four times', async t => {
  t.match(limitsOf('--dtls-timeout', '9s'), { firstTimeout: 9000, giveUpAfter: 135_000 });
  t.match(limitsOf('--dtls-timeout', '2s'), { firstTimeout: 2000, giveUpAfter: defaultLimits.giveUpAfter });
});

t.test('limits are what was said, and what is none is refused', async t => {
  t.match(limitsOf('--session-idle', '90s', '--session-age', '2d'), { idleTimeout: 90_000, maxAge: 172_800_000 });
  t.match(limitsOf('--handshake-rate', '50'), { handshakeRate: { perSecond: 50, burst: 50 } });
  t.match(limitsOf('--handshake-rate', 'off'), { handshakeRate: { perSecond: Number.POSITIVE_INFINITY } });
  t.match(limitsOf('--handshakes-per-identity', '120'), { handshakesPerIdentity: { perSecond: 2, burst: 120 } });
  for (const [flag, text] of [
    ['--max-sessions', '10000001'],
    ['--session-idle', '0s'],
    ['--session-idle', '90'],
    ['--session-age', '1w'],
    ['--handshake-rate', '-1'],
  ] as const) {
    t.throws(() => limitsOf(flag, text), /expected/, `${flag} ${text}`);
  }
});
