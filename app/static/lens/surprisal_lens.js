// The surprisal lens: how it colors a text, and the curve below it.
//
// A lens decides what the colors of a text and its chart show. It has:
// - `name`;
// - `classOf(record, index)`: the CSS classes that color a character, or "";
// - `isPerCharacter`: whether each colored character is an element of its own. Otherwise
//   neighbors with the same classes share one;
// - `readOut(record, index)`: what to show for a character that the user points at, as
//   { shown, spoken }, or null. A lens without this method shows the alternatives;
// - `curve`: the chart's values, as { caption, name, unit, isSmoothed, scaleOf(values),
//   colorOf(value), valueOf(record, index) }. `valueOf` returns a number, or undefined if there is
//   no value. `isSmoothed`: whether the line is a moving average.
//   `scaleOf` returns { low, high, ticks: [[value, label], ...] }. `colorOf` returns the name of a
//   CSS variable.

import { bits, colorClass, surprisal } from "./surprisal.js";

const MIN_SCALE = 4; // bits that the scale reaches at least, so that low values look low
const TICK = 2; // bits

export const surprisalLens = {
  name: "surprisal",
  isPerCharacter: true,
  classOf: (record) => {
    if (record.logprob === undefined) return "";
    const newline = record.token === "\n" ? " newline" : "";
    const origin = (record.isKept ? " kept" : "") + (record.chosen ? " chosen" : "");
    return `c ${colorClass(record)}${newline}${origin}`;
  },
  curve: {
    caption: "Entropy before each character. Click to go to a character.",
    name: "Entropy",
    unit: "bits",
    isSmoothed: true,
    scaleOf: (values) => {
      const high = Math.max(MIN_SCALE, ...values);
      const count = Math.floor(high / TICK);
      const ticks = Array.from({ length: count }, (_, index) => (index + 1) * TICK);
      return { low: 0, high, ticks: [[0, ""], ...ticks.map((value) => [value, `${value} bits`])] };
    },
    colorOf: () => "--accent",
    valueOf: ({ entropy }) => (entropy === undefined ? undefined : bits(entropy)),
  },
};

/** The curve of a text that the model has not written: what surprised it is of interest. */
export const surprisalCurve = {
  ...surprisalLens.curve,
  caption: "Surprisal of each character. Click to go to a character.",
  name: "Surprisal",
  valueOf: (record) => (record.logprob === undefined ? undefined : surprisal(record)),
};
