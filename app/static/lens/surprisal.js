// Surprisal: how unlikely the model found a character, in bits, and how the page displays it.

const MAX_LEVEL = 6; // all characters of 6 bits or more have the same color

export const bits = (nats) => nats / Math.LN2;

/** The surprisal of a record's character: -log2 of its probability. */
export const surprisal = (record) => bits(-record.logprob);

/** The CSS class that colors a record, s0 to s6: its surprisal in whole bits. */
export const colorClass = (record) =>
  `s${Math.min(MAX_LEVEL, Math.max(0, Math.floor(surprisal(record))))}`;

/** Formats a probability with two significant digits. */
export const percent = (probability) =>
  probability >= 0.0995
    ? `${Math.round(probability * 100)}%`
    : probability >= 0.001
      ? `${(probability * 100).toPrecision(2)}%`
      : "< 0.1%";
