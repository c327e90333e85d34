// Permalinks: everything that the texts depend on, in the address's hash, which browsers do not
// send to the server.

import { FIELDS } from "./settings.js";

const LINK_FIELDS = [...FIELDS, "kept", "model"];
const OPTIONAL = ["kept", "min_p", "stop", "pattern", "model"]; // a link that omits them means ""
const MAX_TEXTS = 3;
const MAX_LENGTH = 500_000; // characters of a hash; some browsers accept a little more

/**
 * The hash for the settings of one to three texts, or null if it would be too long.
 * `pace` is the pace to show them at, or "" to leave it to the reader.
 */
export function linkToTexts(texts, pace = "") {
  const pairs = texts.flatMap((settings, index) => {
    const fields = index === 0 ? firstFields(settings) : changedFields(settings, texts[0]);
    const prefix = index === 0 ? "" : `${index + 1}.`;
    return fields.map((field) => [prefix + field, settings[field] ?? ""]);
  });
  pairs.push(["texts", String(texts.length)]);
  if (pace) pairs.push(["pace", pace]);
  return toHash(pairs);
}

const firstFields = (settings) =>
  LINK_FIELDS.filter((field) => !OPTIONAL.includes(field) || settings[field]);

const changedFields = (settings, first) =>
  LINK_FIELDS.filter((field) => settings[field] !== first[field]);

/** The hash for a scored passage, or null if it would be too long. */
export const linkToPassage = (passage, model) =>
  toHash([
    ["passage", passage],
    ["model", model],
  ]);

function toHash(pairs) {
  const hash = `#${new URLSearchParams(pairs)}`;
  return hash.length > MAX_LENGTH ? null : hash;
}

/**
 * Parses a hash. Returns { passage, model }, or { texts, pace } with the fields that the hash
 * contains, or null if the hash describes neither.
 */
export function parseLink(hash) {
  const params = new URLSearchParams(hash.slice(1));
  if (params.has("passage"))
    return { passage: params.get("passage"), model: params.get("model") ?? "" };
  if (!params.has("prime")) return null;
  const none = Object.fromEntries(OPTIONAL.map((field) => [field, ""]));
  const first = { ...none, ...parseFields(params, "") };
  const count = Math.min(MAX_TEXTS, Math.max(1, Number(params.get("texts")) || 1));
  const texts = Array.from({ length: count }, (_, index) => ({
    ...first,
    ...parseFields(params, `${index + 1}.`),
  }));
  return { texts, pace: params.get("pace") ?? "" };
}

const parseFields = (params, prefix) =>
  Object.fromEntries(
    LINK_FIELDS.filter((field) => params.has(prefix + field)).map((field) => [
      field,
      params.get(prefix + field),
    ]),
  );
