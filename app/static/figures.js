// Figures: what there is to know about a text, as a list of names and values.

import { pair } from "./dom.js";
import { surprise } from "./surprise.js";

/** A whole number, to be read. */
export const count = (value) => value.toLocaleString("en");

const number = (value, decimals = 0) =>
  value.toLocaleString("en", { maximumFractionDigits: decimals, minimumFractionDigits: decimals });

/** Bits per character of the records that have scores; null if none has. */
export function bitsPerCharacter(records) {
  let sum = 0;
  let count = 0;
  for (const record of records) {
    if (record.logprob === undefined) continue;
    sum += surprise(record);
    count += 1;
  }
  return count ? sum / count : null;
}

/** Figures of a text so far. */
export function ofText(records) {
  const mean = bitsPerCharacter(records);
  const first = mean === null ? [] : [["bits per character", mean.toFixed(2)]];
  return [...first, ["characters", number(records.length)]];
}

/** Figures that the end of a stream tells. */
export function ofEnd({ timings, usage }) {
  const first = timings.first_character_ms;
  return [
    ["a second", number(timings.characters_per_second)],
    ...(first === null ? [] : [["until the first", `${number(first, first < 10 ? 1 : 0)} ms`]]),
    ["in the queue", `${number(timings.queue_ms, timings.queue_ms < 10 ? 1 : 0)} ms`],
    [
      "prime from the cache",
      `${number(usage.cached_characters)} of ${number(usage.prime_characters)}`,
    ],
  ];
}

/** Puts figures into a definition list. */
export function fill(list, figures) {
  list.replaceChildren(
    ...figures.map(([name, value]) => {
      const group = pair(name, value);
      group.classList.toggle("lead", name === "bits per character");
      return group;
    }),
  );
}
