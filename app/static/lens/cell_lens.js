// The cell lens: how the value of a cell colors a text, and its curve. See surprisal_lens.js for
// what a lens is.

import { cellSentence, signed } from "./cell.js";
import { glyph, spokenName } from "../ui/character_names.js";

const STEP = 0.2; // the values of one level; those nearest to zero have no color
const LEVELS = 4; // on each side of zero

/** The CSS class for a value: n4 to n1 below zero, p1 to p4 above, "" near zero. */
function levelClass(value) {
  const level = Math.min(LEVELS, Math.floor(Math.abs(value) / STEP + 1e-9));
  if (!level) return "";
  return (value < 0 ? "n" : "p") + level;
}

/**
 * Makes the lens of one text. `tracked`: the cell, see cell.js. `values`: one number from -1 to 1
 * per character, [] as long as they are unknown. `span`: the marked passage [from, to), or null.
 * `note`: a sentence for the caption.
 */
export function makeCellLens({ tracked = null, values = [], span = null, note = "" } = {}) {
  const isMarked = (index) => span !== null && index >= span[0] && index < span[1];
  return {
    name: "cells",
    tracked,
    values,
    span,
    isPerCharacter: false,
    classOf: (_, index) => {
      const level = levelClass(values[index] ?? 0);
      return isMarked(index) ? `marked ${level}`.trim() : level;
    },
    readOut: ({ token }, index) => {
      const value = values[index];
      if (value === undefined) return null;
      return {
        shown: `${glyph(token)} ${signed(value)}`,
        spoken: `${spokenName(token)}: ${signed(value)}`,
      };
    },
    curve: {
      caption: tracked ? [cellSentence(tracked), note].filter(Boolean).join(" ") : "",
      name: tracked
        ? `Value of cell ${tracked.cell} of layer ${tracked.layer}`
        : "Value of the cell",
      unit: "a range from −1 to +1",
      isSmoothed: false,
      scaleOf: () => ({
        low: -1,
        high: 1,
        ticks: [-1, 0, 1].map((value) => [value, signed(value, 0)]),
      }),
      colorOf: (value) => (value < 0 ? "--n4" : "--p4"),
      valueOf: (_, index) => values[index],
    },
  };
}
