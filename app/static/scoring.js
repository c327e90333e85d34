// Scoring: what the model thinks of a text that is there already.

import { askPatiently } from "./api.js";

export const ALTERNATIVES = 8; // characters that are named beside the one that stands there
const AT_ONCE = 20_000; // characters, which the server answers in one piece

/**
 * Records with scores of a text's characters, and the model: { records, model }.
 * `onPart(done, all)` is called before each request.
 */
export async function score({ prime, text, model }, options) {
  const characters = Array.from(text);
  let records = [];
  let used = null;
  for (let start = 0; start < characters.length || start === 0; start += AT_ONCE) {
    options.onPart?.(start, characters.length);
    const before = prime + characters.slice(0, start).join("");
    const body = {
      text: characters.slice(start, start + AT_ONCE).join(""),
      logprobs: ALTERNATIVES,
    };
    if (before) body.prime = before;
    if (used?.hash || model) body.model = used?.hash ?? model;
    const answer = await (await askPatiently("score", body, options)).json();
    records = records.concat(answer.characters);
    used = answer.model;
  }
  return { records, model: used };
}

/** Records with scores for those that lack them; null if none does. */
export async function complete({ prime, records, model }, options) {
  const first = records.findIndex(isBare);
  if (first < 0) return null;
  const end = records.findLastIndex(isBare) + 1;
  const before = prime + tokensOf(records.slice(0, first));
  const text = tokensOf(records.slice(first, end));
  const scored = await score({ prime: before, text, model }, options);
  return records.map((record, place) =>
    isBare(record) ? { ...record, ...scored.records[place - first] } : record,
  );
}

const isBare = (record) => record.logprob === undefined;

/** The characters of records, as a text. */
export const tokensOf = (records) => records.map((record) => record.token).join("");

/** The record of another character at a record's place. */
export function chosen(record, token) {
  const rank = record.top.findIndex(([other]) => other === token);
  return {
    ...record,
    probability: undefined,
    settings: undefined,
    token,
    logprob: record.top[rank][1],
    rank: rank + 1,
    chosen: true,
  };
}
