// Characters that the model's vocabulary lacks: their names, and characters to replace them with.

import { spokenName } from "../ui/character_names.js";
import { readInfo } from "./model_card.js";
import { modelName } from "./model_choice.js";

const MAX_NAMED = 20; // a text in another script can contain many unknown characters
const UNKNOWN = "\ufffd"; // stands for all characters that were too rare to be in the vocabulary

/** Substitutes for typographic characters. Accents need no entry: see `substitute`. */
const SUBSTITUTES = new Map([
  ["‘", "'"],
  ["’", "'"],
  ["‚", "'"],
  ["“", '"'],
  ["”", '"'],
  ["„", '"'],
  ["«", '"'],
  ["»", '"'],
  ["–", "-"],
  ["—", "--"],
  ["\t", " "],
  ["\r", ""],
]);

/**
 * Adds the names of the unknown characters of `text`, which was sent to a model, to an error.
 * Returns other errors unchanged.
 */
export async function nameUnknownCharacters(error, text, model) {
  if (error.code !== "unknown_character") return error;
  error.model = model;
  const vocabulary = new Set((await readVocabulary(model)) ?? text);
  const names = [...new Set(text)].filter((character) => !vocabulary.has(character)).map(nameOf);
  if (!names.length) return error; // the vocabulary could not be read: keep the server's message
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : "";
  const listed = names.slice(0, MAX_NAMED).join(", ") + more;
  const subject = ["The model", modelName(model)].filter(Boolean).join(" ");
  const message = `${subject} does not know: ${listed}`;
  error.errors = error.errors.map(({ field }) => ({ field, message }));
  return error;
}

/** The characters of a model, or null if they cannot be read. */
const readVocabulary = (model) =>
  readInfo(model).then(
    ({ vocabulary }) => vocabulary,
    () => null,
  );

/** Names a character: "é (U+00E9)", "tab (U+0009)", or "U+0301" if it has no visible form. */
function nameOf(character) {
  const hex = character.codePointAt().toString(16).toUpperCase().padStart(4, "0");
  const name = spokenName(character);
  return /^[\p{C}\p{M}\p{Z}]$/u.test(name) ? `U+${hex}` : `${name}\u00a0(U+${hex})`;
}

/** Replaces characters in a field that a model does not know, or removes them. */
export async function replaceUnknownCharacters(field, model, { allowPlaceholder }) {
  const known = await readVocabulary(model);
  if (!known) return false;
  const vocabulary = new Set(known);
  if (!allowPlaceholder) vocabulary.delete(UNKNOWN);
  field.value = [...field.value].map((character) => substitute(character, vocabulary)).join("");
  return true;
}

/** The character itself, a substitute, or the character without accents; "" if none is known. */
function substitute(character, vocabulary) {
  const base = character.normalize("NFKD").replace(/\p{M}/gu, "");
  const candidates = [character, SUBSTITUTES.get(character) ?? base, base];
  return candidates.find((text) => [...text].every((each) => vocabulary.has(each))) ?? "";
}
