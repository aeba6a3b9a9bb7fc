import t from 'tap';
import { printable } from '../../../src/cli/output.ts';

t.test('what a device says of itself does not steer the terminal it is shown on', async t => {
  t.equal(printable('\u001b[2Jgone\u009b31m\r\n'), '\\u001b[2Jgone\\u009b31m\\u000d\\u000a');
  t.equal(printable('söhne · 日本'), 'söhne · 日本');
  const json = JSON.stringify({ sms: 'a\u009bb\u007f\n' });
  t.strictSame(JSON.parse(printable(json)), JSON.parse(json), 'and JSON stays the same JSON');
});
