import type { MessageFault } from './codec/message.ts';

/**
 * Why CoAP itself refused a message, or ignored it: words for log and metric. What the peer hears of it is a code, RST
 * or nothing, and never a text.
 */
export type CoapFault =
  | MessageFault['reason']
  /** A critical option that nobody knows, that may not be there twice, or whose value has no such form (RFC 7252 §5.4). */
  | 'critical-option'
  | 'proxying'
  /** A Block option with the reserved size, or a block that is not as long as it says (RFC 7959 §2.2). */
  | 'block'
  /** A block that does not follow the one before, or whose predecessors were given up (RFC 7959 §2.9.2). */
  | 'body-incomplete'
  | 'body-too-large'
  /** A body in blocks from an address that nobody proved: nothing is held for it. */
  | 'body-unproved'
  /** Too many exchanges are remembered for their duplicates. */
  | 'exchanges-full';
