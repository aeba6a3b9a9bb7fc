/** How much of a payload we take, whatever its format. CoAP bounds the body before (`coap/endpoint`). */
export const limits = {
  /** Values in one payload. */
  maxEntries: 4096,
  /** Bytes of one text or opaque value. */
  maxLength: 65_536,
  /** Arrays and maps inside each other. */
  maxDepth: 8,
} as const;
