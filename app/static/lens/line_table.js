// The lines of a scored passage, with the most surprising ones first.

import { byId, make } from "../ui/dom.js";
import { bitsPerCharacter } from "../text/statistics.js";

const MOST = 200; // lines that are listed
const WIDTH = 80; // characters of a line that are shown

/** Lists the lines of records, if there are several. Empty lines are left out. */
export function showLines(records) {
  const lines = linesOf(records);
  byId("score-lines").hidden = lines.length < 2;
  lines.sort((one, other) => other.bits - one.bits);
  const rows = lines.slice(0, MOST).map(({ number, text, bits }) => {
    const cells = [bits.toFixed(2), String(number), text].map((cell) => make("td", "", cell));
    return make("tr", "", ...cells);
  });
  byId("score-lines").querySelector("tbody").replaceChildren(...rows);
}

function linesOf(records) {
  const lines = [];
  let start = 0;
  for (let number = 1; start < records.length; number += 1) {
    const found = records.findIndex(({ token }, index) => index >= start && token === "\n");
    const end = found < 0 ? records.length : found;
    const line = records.slice(start, end);
    const bits = bitsPerCharacter(line);
    const text = line.slice(0, WIDTH).map(({ token }) => token);
    if (bits !== null) lines.push({ number, bits, text: text.join("") });
    start = end + 1;
  }
  return lines;
}
