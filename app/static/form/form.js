// The form with the settings of a generation.

import { namedField } from "../ui/dom.js";
import { chooseModel, chosenModel } from "./model_choice.js";
import { FIELDS, UNREADABLE, randomSeed } from "./settings.js";

export const form = document.querySelector("#controls");

const field = (name) => namedField(form, name);

/** The value of an input. A browser reports text that is not a number as an empty value. */
export function readInput(input) {
  if (input.type === "checkbox") return input.checked ? input.value : "";
  return input.validity.badInput ? UNREADABLE : input.value;
}

/** Gives an input a value. A switch that is disabled stays off. */
export function writeInput(input, value) {
  if (input.type === "checkbox") input.checked = value !== "" && !input.disabled;
  else input.value = value;
}

/** The values of the fields, as entered, and the model of the page. */
export const enteredSettings = () => ({
  ...Object.fromEntries(FIELDS.map((name) => [name, readInput(field(name))])),
  model: chosenModel(),
});

/** The values of the fields, with a random seed if the field is empty, and without held cells. */
export function settings() {
  const values = enteredSettings();
  return { ...values, hold: "", seed: values.seed || randomSeed() };
}

/** Fills in the fields that `values` contains. */
export function fillForm(values) {
  for (const name of FIELDS) {
    if (values[name] !== undefined) writeInput(field(name), values[name]);
  }
  if (values.model !== undefined) chooseModel(values.model);
}

let example = field("prime").defaultValue; // the prime that the page has put into the form

/** Adapts the fields to a model: the length limit, and the prime unless the user has typed one. */
export function adaptForm(info) {
  field("length").max = info.limits.length;
  if (field("prime").value !== example || location.hash) return;
  const vocabulary = new Set(info.vocabulary);
  const isReadable = [...example].every((character) => vocabulary.has(character));
  example = info.prime || (isReadable ? example : "");
  fillForm({ prime: example });
}

document
  .querySelector("#random-seed")
  .addEventListener("click", () => fillForm({ seed: randomSeed() }));
