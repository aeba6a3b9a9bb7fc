/** CoAP Content-Formats that appear in registrations and in what devices report (IANA CoRE Parameters). */
export const ContentFormats = {
  text: 0,
  linkFormat: 40,
  octetStream: 42,
  json: 50,
  cbor: 60,
  senmlJson: 110,
  senmlCbor: 112,
  lwm2mTlv: 11542,
  lwm2mJson: 11543,
  lwm2mCbor: 11544,
} as const;
