// Form: the fields beside the text.

import { rolledSeed } from "./settings.js";

const NAMES = ["prime", "length", "top_k", "temperature", "top_p", "seed"];
const PRIME = "And Levin said,"; // the page's own, which suits one model

export const form = document.querySelector("#controls");

const field = (name) => form.elements.namedItem(name);

/** What the fields hold; a seed is rolled where none is given. */
export function settings() {
  const values = Object.fromEntries(NAMES.map((name) => [name, field(name).value]));
  const left = values.seed === "" && !field("seed").validity.badInput;
  return { ...values, seed: left ? rolledSeed() : values.seed };
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
