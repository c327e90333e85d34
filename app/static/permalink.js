// Permalinks: everything that texts depend on, in the part of the address that is sent nowhere.

const FIELDS = ["prime", "kept", "length", "top_k", "temperature", "top_p", "seed", "model"];
const MOST_TEXTS = 3;
const LONGEST = 500_000; // characters of an address; some browsers take more, none much more

/** Settings of one to three texts as an address's hash; null if it would be too long. */
export function linkOf(texts) {
  const pairs = texts.flatMap((settings, place) =>
    FIELDS.filter((field) => place === 0 || settings[field] !== texts[0][field])
      .filter((field) => place > 0 || !["kept", "model"].includes(field) || settings[field])
      .map((field) => [place === 0 ? field : `${place + 1}.${field}`, settings[field] ?? ""]),
  );
  pairs.push(["texts", String(texts.length)]);
  return bounded(pairs);
}

/** The link to a scored passage. */
export const linkOfPassage = (passage, model) =>
  bounded([
    ["passage", passage],
    ["model", model],
  ]);

function bounded(pairs) {
  const hash = `#${new URLSearchParams(pairs)}`;
  return hash.length > LONGEST ? null : hash;
}

/** { texts } of the fields that are given, { passage, model }, or null if the hash says nothing. */
export function read(hash) {
  const given = new URLSearchParams(hash.slice(1));
  if (given.has("passage"))
    return { passage: given.get("passage"), model: given.get("model") ?? "" };
  if (!given.has("prime")) return null;
  const first = { kept: "", model: "", ...fieldsOf(given, "") };
  const count = Math.min(MOST_TEXTS, Math.max(1, Number(given.get("texts")) || 1));
  const texts = Array.from({ length: count }, (_, place) => ({
    ...first,
    ...fieldsOf(given, `${place + 1}.`),
  }));
  return { texts };
}

const fieldsOf = (given, prefix) =>
  Object.fromEntries(
    FIELDS.filter((field) => given.has(prefix + field)).map((field) => [
      field,
      given.get(prefix + field),
    ]),
  );
