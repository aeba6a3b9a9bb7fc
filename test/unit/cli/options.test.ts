import t from 'tap';
import { digit } from '../../../src/cli/options.ts';

t.test('a priority is a digit, and 0 is one; anything else would be stored and outrank every other', async t => {
  for (let priority = 0; priority <= 9; priority++) t.equal(digit(String(priority)), priority);
  for (const text of ['10', '-1', '1.5', '', ' 1', '1e1', '٣']) t.throws(() => digit(text), /a digit, 0 to 9/, text);
});
