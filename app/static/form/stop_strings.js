// The field for stop strings: one per line, with escapes for characters that a line cannot hold.

import { FieldError } from "./field_errors.js";

const MAX_STRINGS = 4; // the server's limit
const ESCAPES = { n: "\n", t: "\t", r: "\r", "\\": "\\" };

/** The strings that a field contains. Throws a FieldError if there are too many. */
export function parseStops(text) {
  const lines = text.split("\n").filter(Boolean);
  if (lines.length > MAX_STRINGS)
    throw new FieldError("stop", `Enter at most ${MAX_STRINGS} lines instead of ${lines.length}`);
  return lines.map(unescape);
}

const unescape = (line) =>
  line.replace(/\\(.?)/gs, (escape, character) => {
    if (Object.hasOwn(ESCAPES, character)) return ESCAPES[character];
    throw new FieldError("stop", `Write \\n, \\t, \\r or \\\\ instead of ${escape}`);
  });
