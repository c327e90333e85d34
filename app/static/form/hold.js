// Held cells: the text form "1:293:-2" of links, with a comma between several cells, the field
// `hold` of a request, and words.

import { cellId, cellName, signed } from "../lens/cell.js";
import { FieldError } from "./field_errors.js";

/** The text form of one held cell. */
export const formatHold = ({ layer, cell }, value) => `${layer}:${cell}:${value}`;

/**
 * The held cells of a text form: [{ layer, cell, value }]. Throws a FieldError if it is invalid.
 */
export function parseHold(text) {
  if (!text) return [];
  return text.split(",").map((part) => {
    const [layer, cell, value, ...rest] = part.split(":").map(toNumber);
    if (rest.length || ![layer, cell, value].every(Number.isFinite))
      throw new FieldError("hold", `Write a held cell as LAYER:CELL:VALUE instead of ${part}`);
    return { layer, cell, value };
  });
}

const toNumber = (text) => (text.trim() === "" ? NaN : Number(text));

/** Describes held cells: "cell 293 of layer 1 held at −2". */
export const describeHold = (text) =>
  parseHold(text)
    .map(({ value, ...cell }) => `${cellName(cell)} held at ${formatHeld(value)}`)
    .join(", ");

/** Formats the value of a held cell: "−2", "+0.5". */
export const formatHeld = (value) => signed(value, Number.isInteger(value) ? 0 : 1);

/** The value at which a text form holds a cell, or null if it does not. */
export function heldValue(text, cell) {
  const held = parseHold(text).find((each) => cellId(each) === cellId(cell));
  return held ? held.value : null;
}
