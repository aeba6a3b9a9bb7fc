/** CoAP Content-Formats that appear in registrations and in what devices report (IANA CoRE Parameters). */
export const ContentFormats = {
  text: 0,
  linkFormat: 40,
  octetStream: 42,
  json: 50,
  cbor: 60,
  senmlJson: 110,
  senmlCbor: 112,
  /** What text, TLV and JSON of LwM2M had before their registration; old clients still say so. */
  oldLwm2mText: 1541,
  oldLwm2mTlv: 1542,
  oldLwm2mJson: 1543,
  lwm2mTlv: 11542,
  lwm2mJson: 11543,
  lwm2mCbor: 11544,
} as const;
