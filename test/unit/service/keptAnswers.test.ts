import t from 'tap';
import type { Peer } from '../../../src/base/peer.ts';
import type { Instant } from '../../../src/base/time.ts';
import type { BlockSize } from '../../../src/coap/codec/block.ts';
import { ResponseCode } from '../../../src/coap/codec/code.ts';
import { reply } from '../../../src/coap/codec/message.ts';
import { Options } from '../../../src/coap/codec/option.ts';
import { KeptAnswers } from '../../../src/service/keptAnswers.ts';

const at = (milliseconds: number) => milliseconds as Instant;
const answer = (length: number) => reply(ResponseCode.Content, Options.empty, new Uint8Array(length));
const inBlocksOf = (size?: BlockSize) => ({
  peer: 1 as Peer,
  block2: size === undefined ? undefined : { number: 0, more: false, size },
});

t.test('the rest of a short answer would be cut from the long one before it', t => {
  const answers = new KeptAnswers();
  answers.keep(inBlocksOf(), 'devices', answer(3000), at(0));
  t.equal(answers.get(1 as Peer, 'devices', at(1))?.payload.length, 3000);
  answers.keep(inBlocksOf(), 'devices', answer(500), at(2));
  t.equal(answers.get(1 as Peer, 'devices', at(3)), undefined);
  answers.keep(inBlocksOf(), 'devices', answer(3000), at(4));
  answers.keep(inBlocksOf(), 'devices', answer(5 * 2 ** 20), at(5));
  t.equal(answers.get(1 as Peer, 'devices', at(6)), undefined, 'nor that of one which is too long to be kept');
  t.end();
});

t.test('who reads in small blocks would never come to the end of what changes every second', t => {
  const answers = new KeptAnswers();
  answers.keep(inBlocksOf(64), 'devices', answer(500), at(0));
  t.equal(answers.get(1 as Peer, 'devices', at(1))?.payload.length, 500);
  answers.keep(inBlocksOf(512), 'devices', answer(500), at(2));
  t.equal(answers.get(1 as Peer, 'devices', at(3)), undefined, 'what fits into one block is not kept');
  t.end();
});
