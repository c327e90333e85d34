// Texts with their scores, as JSON and as CSV.
//
// An exported text is { name, fields, request, records }: `name` tells it from others ("A"), `fields`
// describe it, and `request` is the body of the request that generates it, or null.

import { download } from "../ui/download.js";
import { toJSON } from "../server/json.js";
import { ALTERNATIVES } from "../server/scoring.js";

const SCORES = ["logprob", "rank", "entropy", "probability"];
const COLUMNS = ["text", "index", "character", "code_point", ...SCORES, "chosen"];

/** Offers texts for download as a JSON file, whose name contains `label`. */
export const saveJSON = (label, texts) =>
  download(`charstream-${label}.json`, "application/json", toExportJSON(texts));

/** Offers texts for download as a CSV file, whose name contains `label`. */
export const saveCSV = (label, texts) =>
  download(`charstream-${label}.csv`, "text/csv;charset=utf-8", toCSV(texts));

/** JSON: { texts: [{ name, ..., request, characters }] }. The scores have the names of the API. */
export const toExportJSON = (texts) => `{"texts": [\n${texts.map(textToJSON).join(",\n")}\n]}\n`;

function textToJSON({ name, fields, request, records }) {
  const head = JSON.stringify({ name, ...fields }).slice(0, -1);
  const characters = records.map((record) => JSON.stringify(withoutState(record)));
  const body = request ? `, "request": ${toJSON(request)}` : "";
  return `${head}${body}, "characters": [\n${characters.join(",\n")}\n]}`;
}

const withoutState = ({ settings: _, isKept: __, ...record }) => record;

/**
 * CSV as RFC 4180 describes it: one row per character, with its alternatives. A cell holds at most
 * one character of a text, so that no spreadsheet can take it for a formula.
 */
export function toCSV(texts) {
  const alternatives = Array.from(
    { length: ALTERNATIVES },
    (_, index) => `alternative_${index + 1}`,
  );
  const header = [...COLUMNS, ...alternatives.flatMap((name) => [name, `${name}_logprob`])];
  const rows = texts.flatMap(({ name, records }) =>
    records.map((record, index) => toRow(name, record, index)),
  );
  return [header, ...rows].map((row) => `${row.map(toCell).join(",")}\r\n`).join("");
}

function toRow(name, record, index) {
  const { token, chosen = false, top = [] } = record;
  const scores = SCORES.map((score) => record[score] ?? "");
  const pairs = Array.from({ length: ALTERNATIVES }, (_, place) => top[place] ?? ["", ""]);
  const alternatives = pairs.flatMap(([character, logprob]) => [character, logprob]);
  return [name, index, token, codePoint(token), ...scores, chosen, ...alternatives];
}

const codePoint = (token) => `U+${token.codePointAt().toString(16).toUpperCase().padStart(4, "0")}`;

/** Quotes what is not plainly a number or a word, so that white space survives, too. */
const toCell = (value) =>
  /^[\w.+-]*$/.test(value) ? String(value) : `"${String(value).replaceAll('"', '""')}"`;
