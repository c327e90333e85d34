// Surprise: how little a model expected a character, in bits, and which colour that has.

const WARMEST = 6; // bits; what is above has the same colour

export const bits = (nats) => nats / Math.LN2;

export const surprise = (record) => bits(-record.logprob);

/** The class of a record's colour, s0 to s6. */
export const warmth = (record) =>
  `s${Math.min(WARMEST, Math.max(0, Math.floor(surprise(record))))}`;

export const percent = (share) =>
  share >= 0.0995
    ? `${Math.round(share * 100)}%`
    : share >= 0.001
      ? `${(share * 100).toPrecision(2)}%`
      : "< 0.1%";

const NAMES = new Map([
  [" ", "␣"],
  ["\n", "↵"],
  ["\t", "⇥"],
  ["\r", "␍"],
]);
const WORDS = new Map([
  [" ", "space"],
  ["\n", "new line"],
  ["\t", "tab"],
  ["\r", "carriage return"],
]);

/** A character as something that can be seen. */
export const glyph = (token) => NAMES.get(token) ?? token;

/** A character as something that can be said. */
export const spoken = (token) => WORDS.get(token) ?? token;
