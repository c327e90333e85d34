// Permalinks: everything that the texts depend on, in the address's hash, which browsers do not
// send to the server.

import { FIELDS } from "../form/settings.js";

const LINK_FIELDS = [...FIELDS, "hold", "kept", "model"];

/** Fields that mean "" if a link omits them. */
const OPTIONAL = ["hold", "kept", "min_p", "stop", "pattern", "memory", "model"];

const VIEW_FIELDS = ["pace", "lens", "cell"];
const MAX_TEXTS = 3;
const MAX_LENGTH = 500_000; // characters of a hash; some browsers accept a little more

/**
 * The hash for the settings of one to three texts, or null if it would be too long.
 * `view` says how to show them; a part that is "" is left to the reader: `pace`, `lens`, and the
 * id of the `cell` that the lens shows.
 */
export function linkToTexts(texts, view = {}) {
  const pairs = texts.flatMap((settings, index) => {
    const fields = index === 0 ? firstFields(settings) : changedFields(settings, texts[0]);
    const prefix = index === 0 ? "" : `${index + 1}.`;
    return fields.map((field) => [prefix + field, settings[field] ?? ""]);
  });
  pairs.push(["texts", String(texts.length)]);
  return toHash([...pairs, ...viewPairs(view)]);
}

const viewPairs = (view) =>
  VIEW_FIELDS.filter((name) => view[name]).map((name) => [name, view[name]]);

const parseView = (params) =>
  Object.fromEntries(VIEW_FIELDS.map((name) => [name, params.get(name) ?? ""]));

const firstFields = (settings) =>
  LINK_FIELDS.filter((field) => !OPTIONAL.includes(field) || settings[field]);

const changedFields = (settings, first) =>
  LINK_FIELDS.filter((field) => settings[field] !== first[field]);

/** The hash for a scored passage, or null if it would be too long. */
export const linkToPassage = ({ passage, model, memory }, view = {}) =>
  toHash([
    ["passage", passage],
    ...(memory ? [["memory", memory]] : []),
    ["model", model],
    ...viewPairs(view),
  ]);

function toHash(pairs) {
  const hash = `#${new URLSearchParams(pairs)}`;
  return hash.length > MAX_LENGTH ? null : hash;
}

/**
 * Parses a hash. Returns { passage, memory, model, view }, or { texts, view } with the fields that
 * the hash contains, or null if the hash describes neither.
 */
export function parseLink(hash) {
  const params = new URLSearchParams(hash.slice(1));
  const view = parseView(params);
  if (params.has("passage")) {
    const fields = ["passage", "memory", "model"].map((name) => [name, params.get(name) ?? ""]);
    return { ...Object.fromEntries(fields), view };
  }
  if (!params.has("prime")) return null;
  const none = Object.fromEntries(OPTIONAL.map((field) => [field, ""]));
  const first = { ...none, ...parseFields(params, "") };
  const count = Math.min(MAX_TEXTS, Math.max(1, Number(params.get("texts")) || 1));
  const texts = Array.from({ length: count }, (_, index) => ({
    ...first,
    ...parseFields(params, `${index + 1}.`),
  }));
  return { texts, view };
}

const parseFields = (params, prefix) =>
  Object.fromEntries(
    LINK_FIELDS.filter((field) => params.has(prefix + field)).map((field) => [
      field,
      params.get(prefix + field),
    ]),
  );
