// Statistics of a text, as pairs of a label and a value.

import { makeEntry } from "../ui/dom.js";
import { formatCount, formatMeasured } from "../ui/numbers.js";
import { surprisal } from "../lens/surprisal.js";

/** The mean surprisal of the records that have scores, or null if none has. */
export function bitsPerCharacter(records) {
  let sum = 0;
  let count = 0;
  for (const record of records) {
    if (record.logprob === undefined) continue;
    sum += surprisal(record);
    count += 1;
  }
  return count ? sum / count : null;
}

/** Statistics of the characters that have arrived. */
export function textStatistics(records) {
  const mean = bitsPerCharacter(records);
  const first = mean === null ? [] : [["bits per character here", mean.toFixed(2)]];
  return [...first, ["characters", formatCount(records.length)]];
}

/** Statistics from the data of a stream's `done` event. */
export function generationStatistics({ timings, usage }) {
  const first = timings.first_character_ms;
  const cached = formatCount(usage.cached_characters);
  return [
    // a comparison shows the first one only
    ["characters per second", formatMeasured(timings.characters_per_second)],
    ...(first === null ? [] : [["time to first character", `${formatMeasured(first)} ms`]]),
    ["time in queue", `${formatMeasured(timings.queue_ms)} ms`],
    ["prime from cache", `${cached} of ${formatCount(usage.prime_characters)}`],
  ];
}

/** Shows statistics in a definition list. */
export function showStatistics(list, statistics) {
  list.replaceChildren(
    ...statistics.map(([label, value]) => {
      const entry = makeEntry(label, value);
      entry.classList.toggle("lead", label.startsWith("bits per character"));
      return entry;
    }),
  );
}
