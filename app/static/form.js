// Form: the fields beside the text.

import { UNREADABLE, rolledSeed } from "./settings.js";

const NAMES = ["prime", "length", "top_k", "temperature", "top_p", "seed"];
const PRIME = "And Levin said,"; // the page's own, which suits one model

export const form = document.querySelector("#controls");

const field = (name) => form.elements.namedItem(name);

/** What a field holds; a browser does not tell what is no number. */
export const typed = (input) => (input.validity.badInput ? UNREADABLE : input.value);

/** What the fields hold. */
export const settingsAsTyped = () =>
  Object.fromEntries(NAMES.map((name) => [name, typed(field(name))]));

/** What the fields hold; a seed is rolled where none is given. */
export function settings() {
  const values = settingsAsTyped();
  return { ...values, seed: values.seed || rolledSeed() };
}

export function fillForm(values) {
  for (const name of NAMES) {
    if (values[name] !== undefined) field(name).value = values[name];
  }
}

/** Makes the fields suit a model. */
export function suit(info) {
  field("length").max = info.limits.length;
  const known = new Set(info.vocabulary);
  const untouched = field("prime").value === PRIME && !location.hash;
  if (untouched && ![...PRIME].every((character) => known.has(character))) fillForm({ prime: "" });
}

document.querySelector("#dice").addEventListener("click", () => fillForm({ seed: rolledSeed() }));
