// The surprisal lens: how it colors a text, and the curve below it.
//
// A lens decides what the colors of a text and its chart show. It has:
// - `classOf(record)`: the CSS class that colors a character which has scores;
// - `curve`: the chart's values, as { caption, name, unit, minScale, valueOf(record) }. `valueOf`
//   returns a number of at least 0, or undefined if the record has no value. The scale of the chart
//   reaches at least `minScale`, so that low values look low.

import { bits, colorClass } from "./surprisal.js";

export const surprisalLens = {
  classOf: colorClass,
  curve: {
    caption: "Entropy before each character. Click to go to a character.",
    name: "Entropy",
    unit: "bits",
    minScale: 4,
    valueOf: ({ entropy }) => (entropy === undefined ? undefined : bits(entropy)),
  },
};
