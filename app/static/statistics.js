// Statistics of a text, as pairs of a label and a value.

import { makeEntry } from "./dom.js";
import { surprisal } from "./surprisal.js";

/** Formats a whole number with thousands separators. */
export const formatCount = (value) => value.toLocaleString("en");

/** Formats a rate, with at most one decimal, and none from 10. */
export const formatRate = (value) =>
  value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });

const formatNumber = (value, decimals = 0) =>
  value.toLocaleString("en", { maximumFractionDigits: decimals, minimumFractionDigits: decimals });

/** Formats a duration, with one decimal below 10 ms. */
const formatMilliseconds = (value) => `${formatNumber(value, value < 10 ? 1 : 0)} ms`;

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
  const first = mean === null ? [] : [["bits per character", mean.toFixed(2)]];
  return [...first, ["characters", formatNumber(records.length)]];
}

/** Statistics from the data of a stream's `done` event. */
export function generationStatistics({ timings, usage }) {
  const first = timings.first_character_ms;
  const cached = formatNumber(usage.cached_characters);
  return [
    ["characters per second", formatNumber(timings.characters_per_second)],
    ...(first === null ? [] : [["time to first character", formatMilliseconds(first)]]),
    ["time in queue", formatMilliseconds(timings.queue_ms)],
    ["prime from cache", `${cached} of ${formatNumber(usage.prime_characters)}`],
  ];
}

/** Shows statistics in a definition list. */
export function showStatistics(list, statistics) {
  list.replaceChildren(
    ...statistics.map(([label, value]) => {
      const entry = makeEntry(label, value);
      entry.classList.toggle("lead", label === "bits per character");
      return entry;
    }),
  );
}
