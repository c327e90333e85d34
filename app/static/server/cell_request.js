// POST /cells: the values of a cell along a text, and the cells that track a passage.

import { formatCount } from "../ui/numbers.js";
import { ShownError } from "../ui/shown_error.js";
import { PART, partBody, requestPart } from "./text_parts.js";

const FOUND = 8; // cells to find for a passage

/**
 * Reads a cell along a text: the records after a prime. Returns its values, one per record.
 * Options: those of `requestJSON`, and `onProgress(done, total)`, called before each request.
 * Throws a TooLongError, see text_parts.js.
 */
export async function readCell({ prime, records, model }, { layer, cell }, options) {
  const text = { prime, tokens: tokensOf(records), model };
  const values = [];
  for (let start = 0; start < records.length; start += PART) {
    options.onProgress(start, records.length);
    const body = { ...partBody(text, start, start + PART), cells: [{ layer, cell }] };
    const response = await requestPart("cells", body, options);
    for (const value of response.cells[0].values) values.push(value);
  }
  return values;
}

/**
 * Finds the cells that track a passage of a text, the strongest correlation first:
 * [{ layer, cell, correlation }]. `span` is [from, to), in records.
 */
export async function findCells({ prime, records, model }, [from, to], options) {
  const room = PART - (to - from); // for the rest of the text, which the passage is compared with
  if (room <= 0) throw new ShownError(`Select fewer than ${formatCount(PART)} characters.`);
  const start = Math.max(0, from - Math.ceil(room / 2));
  const end = Math.min(records.length, start + PART);
  const find = [[from - start, to - start]];
  const part = partBody({ prime, tokens: tokensOf(records), model }, start, end);
  const { cells } = await requestPart("cells", { ...part, find, top: FOUND }, options);
  return cells.map(({ layer, cell, correlation }) => ({ layer, cell, correlation, passage: true }));
}

const tokensOf = (records) => records.map(({ token }) => token);
