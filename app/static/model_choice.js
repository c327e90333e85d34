// The choice among several models: one for the page, and one for each compared text.

import { request } from "./api.js";
import { make } from "./dom.js";

const mainChoice = document.querySelector("#model-choice");
let models = []; // of the server: { name, hash, default }

/**
 * Reads the list of models from the server and fills the choices. They stay hidden if there is
 * only one model. Returns whether the page's choice is another model than the default one.
 */
export async function readModels() {
  try {
    models = (await (await request("models")).json()).models;
  } catch {
    return false; // the model card reports what is wrong with the server
  }
  document.querySelectorAll(".model-choice").forEach(fill);
  return models.length > 1 && !named(mainChoice.value).default;
}

const named = (model) => models.find(({ name, hash }) => name === model || hash === model);

/** The hash of the model that the page's choice names, or "" if the server has only one. */
export const chosenModel = () => mainChoice.value;

/** Chooses a model by its name or hash. An unknown one, or "", stands for the default model. */
export function chooseModel(model, select = mainChoice) {
  select.dataset.model = model ?? "";
  fill(select);
}

/** Calls a function when the user has chosen another model for the page. */
export const onModelChosen = (callback) => mainChoice.addEventListener("change", callback);

/** Creates a field with a choice of its own, which begins with a model. */
export function makeModelField(model) {
  const id = `model-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const label = make("label", "", "Model");
  label.htmlFor = id;
  const select = make("select", "model-choice");
  Object.assign(select, { id, name: "model", autocomplete: "off" });
  const field = make("div", "field", label, select);
  chooseModel(model, select);
  return field;
}

/** The name of the model with this hash, or "" if the server has only one. */
export const modelName = (hash) => (models.length > 1 ? (named(hash)?.name ?? "") : "");

function fill(select) {
  const isSeveral = models.length > 1;
  select.parentElement.hidden = !isSeveral;
  const options = isSeveral ? models.map(({ name, hash }) => new Option(name, hash)) : [];
  select.replaceChildren(...options);
  const wanted = named(select.dataset.model) ?? models.find((model) => model.default);
  if (isSeveral) select.value = wanted.hash;
}

// The name is kept, so that a model which is replaced by a new version stays chosen.
document.addEventListener("change", ({ target }) => {
  if (target.matches(".model-choice")) target.dataset.model = modelName(target.value);
});
