// The form with the settings of a generation.

import { namedField } from "./dom.js";
import { FIELDS, UNREADABLE, randomSeed } from "./settings.js";

const DEFAULT_PRIME = "And Levin said,"; // the one in index.html, which suits the shipped model

export const form = document.querySelector("#controls");

const field = (name) => namedField(form, name);

/** The value of an input. A browser reports text that is not a number as an empty value. */
export const readInput = (input) => (input.validity.badInput ? UNREADABLE : input.value);

/** The values of the fields, as entered. */
export const enteredSettings = () =>
  Object.fromEntries(FIELDS.map((name) => [name, readInput(field(name))]));

/** The values of the fields, with a random seed if the field is empty, and without held cells. */
export function settings() {
  const values = enteredSettings();
  return { ...values, hold: "", seed: values.seed || randomSeed() };
}

/** Fills in the fields that `values` contains. */
export function fillForm(values) {
  for (const name of FIELDS) {
    if (values[name] !== undefined) field(name).value = values[name];
  }
}

/** Adapts the fields to a model: the length limit, and the default prime if it cannot be read. */
export function adaptForm(info) {
  field("length").max = info.limits.length;
  const vocabulary = new Set(info.vocabulary);
  const isUntouched = field("prime").value === DEFAULT_PRIME && !location.hash;
  const isReadable = [...DEFAULT_PRIME].every((character) => vocabulary.has(character));
  if (isUntouched && !isReadable) fillForm({ prime: "" });
}

document
  .querySelector("#random-seed")
  .addEventListener("click", () => fillForm({ seed: randomSeed() }));
