// Scoring: the log-probabilities of the characters of an existing text.
//
// A record describes one character: { token } or, with scores, { token, logprob, rank, entropy,
// top, probability }. A sampled record also has `settings`, those that it was sampled with. A
// record that the user picked has `chosen`. One that was kept for another continuation has `isKept`.

import { countOf, formatCount } from "../ui/numbers.js";
import { PART, partBody, requestPart } from "./text_parts.js";

export const ALTERNATIVES = 8; // alternatives to request for each character

/**
 * Scores a text, with a memory if `memory` is set. Returns { records, model }.
 * Throws a TooLongError, see text_parts.js.
 * Calls `onProgress(done, total)`, in characters, before each request.
 */
export async function score({ prime, text, model, memory }, options) {
  const tokens = Array.from(text);
  let records = [];
  let usedModel = null;
  for (let start = 0; start < tokens.length; start += PART) {
    options.onProgress?.(start, tokens.length);
    const part = { prime, tokens, model: usedModel?.hash ?? model };
    const fields = { logprobs: ALTERNATIVES, ...(memory && { memory: true }) };
    const body = { ...partBody(part, start, start + PART), ...fields };
    const response = await requestPart("score", body, options);
    records = records.concat(response.characters);
    usedModel = response.model;
  }
  return { records, model: usedModel };
}

/** Describes the progress of `score`. */
export const scoringMessage = (done, total) =>
  done ? `Scoring: ${formatCount(done)} of ${countOf(total, "character")}…` : "Scoring the text…";

/** Adds scores to the records that lack them. Returns new records, or null if none lacks any. */
export async function addScores({ prime, records, model, memory }, options) {
  const first = records.findIndex(isUnscored);
  if (first < 0) return null;
  const end = records.findLastIndex(isUnscored) + 1;
  const context = prime + textOf(records.slice(0, first));
  const text = textOf(records.slice(first, end));
  const scored = await score({ prime: context, text, model, memory }, options);
  return records.map((record, index) =>
    isUnscored(record) ? { ...record, ...scored.records[index - first] } : record,
  );
}

const isUnscored = (record) => record.logprob === undefined;

/** The text of records. */
export const textOf = (records) => records.map((record) => record.token).join("");

/** A copy of a record with one of its alternatives in place of its character. */
export function replaceToken(record, token) {
  const index = record.top.findIndex(([alternative]) => alternative === token);
  return {
    ...record,
    probability: undefined,
    settings: undefined,
    token,
    logprob: record.top[index][1],
    rank: index + 1,
    chosen: true,
  };
}
