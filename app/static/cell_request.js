// POST /cells: the values of a cell along a text, and the cells that track a passage.

import { requestJSON } from "./api.js";

const CHUNK = 20_000; // characters per request
const FOUND = 8; // cells to find for a passage

/**
 * Reads a cell along a text: the records after a prime. Returns its values, one per record.
 * Options: those of `requestJSON`, and `onProgress(done, total)`, called before each request.
 */
export async function readCell({ prime, records, model }, { layer, cell }, options) {
  const values = [];
  for (let start = 0; start < records.length; start += CHUNK) {
    options.onProgress(start, records.length);
    const body = requestBody({ prime, records, model }, start, start + CHUNK);
    const response = await requestJSON("cells", { ...body, cells: [{ layer, cell }] }, options);
    for (const value of response.cells[0].values) values.push(value);
  }
  return values;
}

/**
 * Finds the cells that track a passage of a text, the strongest correlation first:
 * [{ layer, cell, correlation }]. `span` is [from, to), in records.
 */
export async function findCells({ prime, records, model }, [from, to], options) {
  const room = Math.max(0, CHUNK - (to - from));
  const start = Math.max(0, from - Math.ceil(room / 2));
  const end = Math.min(records.length, Math.max(to, start + CHUNK));
  const body = requestBody({ prime, records, model }, start, end);
  const find = [[from - start, to - start]];
  const { cells } = await requestJSON("cells", { ...body, find, top: FOUND }, options);
  return cells.map(({ layer, cell, correlation }) => ({ layer, cell, correlation, passage: true }));
}

/** The text from `start` to `end`, with everything before it as the prime. */
function requestBody({ prime, records, model }, start, end) {
  const tokens = records.map(({ token }) => token);
  const context = prime + tokens.slice(0, start).join("");
  return {
    text: tokens.slice(start, end).join(""),
    ...(context && { prime: context }),
    ...(model && { model }),
  };
}
