// Explain: errors in words, beside the fields that caused them and in a status line.

import { form } from "./form.js";
import { readCard } from "./model_card.js";
import * as problems from "./problems.js";
import { SAMPLING } from "./settings.js";
import { spoken } from "./surprise.js";

const MOST_NAMED = 20; // characters; a text in another script has many that a model does not know

/**
 * Says what went wrong, in the first of the forms that has the fields.
 * Options: retry, the remedy where another model is loaded: [name, function]; name, of the one of
 * several texts that has the field for itself.
 */
export function explain(error, forms, line, { retry, name }) {
  const labels = forms.reduce(
    (found, each) => (found.length ? found : problems.show(each, error.errors ?? [])),
    [],
  );
  if (error.status === 401) {
    line.say("This server wants a key.", { isError: true });
  } else if (error.code === "other_model") {
    readCard({ quietly: true });
    const words =
      "This was made with another model than the one here, which would write otherwise.";
    line.say(words, { isError: true, remedy: retry });
  } else if (labels.length) {
    const isOwn = name && error.errors.every(({ field }) => SAMPLING.includes(field));
    line.say(`${isOwn ? `${name} is not` : "Not"} done: see ${labels.join(" and ")}.`, {
      isError: true,
      remedy: cure(error, line),
    });
  } else {
    line.say(error.message || "Something went wrong.", { isError: true });
  }
}

/** The error of a text that was sent; characters that the model does not know are named in it. */
export async function named(error, text) {
  if (error.code !== "unknown_character") return error;
  const info = await readCard({ quietly: true });
  const known = new Set(info?.vocabulary ?? text);
  const names = [...new Set(text)].filter((character) => !known.has(character)).map(nameOf);
  if (!names.length) return error; // the server's own words, then
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
  const message = `The model does not know: ${names.slice(0, MOST_NAMED).join(", ")}${more}`;
  error.errors = error.errors.map(({ field }) => ({ field, message }));
  return error;
}

/** A character by its word or its code point where it cannot be seen by itself. */
function nameOf(character) {
  const word = spoken(character);
  if (!/^[\p{C}\p{M}\p{Z}]$/u.test(word)) return word;
  return `U+${character.codePointAt().toString(16).toUpperCase().padStart(4, "0")}`;
}

const UNKNOWN = "\ufffd"; // stands for all characters that a model does not know

/** Plainer characters for typographic ones. */
const PLAIN = new Map([
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

/** The nearest to a character that a model knows: a plainer one, one without accents, or "". */
function nearest(character, known) {
  const stripped = character.normalize("NFKD").replace(/\p{M}/gu, "");
  const choices = [character, PLAIN.get(character) ?? stripped, stripped];
  return choices.find((choice) => [...choice].every((each) => known.has(each))) ?? "";
}

/** Replaces what the model does not know; null where that is not what is wrong. */
function cure(error, line) {
  if (error.code !== "unknown_character") return null;
  return [
    "Replace or leave them out",
    async () => {
      const info = await readCard({ quietly: true });
      if (!info) return;
      const known = new Set(info.vocabulary);
      const isPassage = error.errors[0].field === "text";
      if (isPassage) known.delete(UNKNOWN); // which may be read, and has no score
      const field = document.querySelector(isPassage ? "#passage" : "#prime");
      field.value = [...field.value].map((character) => nearest(character, known)).join("");
      field.focus();
      problems.clear(field.form);
      line.say("Ready.");
    },
  ];
}

export const clearProblems = (columns) =>
  [form, ...columns.map((column) => column.form)].forEach(problems.clear);
