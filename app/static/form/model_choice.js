// The choice among several models: one for the page, and one for each compared text.

import { requestJSON } from "../server/api.js";
import { make } from "../ui/dom.js";

const mainChoice = document.querySelector("#model-choice");
let models = []; // of the server: { name, hash, default }
let onList = () => {};

/** Calls a function when the list of models has been read and is not the same as before. */
export function onModels(callback) {
  onList = callback;
}

/**
 * Reads the list of models from the server and fills the choices. They stay hidden if there is
 * only one model. Retries silently, because a hidden choice gives the user no reason to try again,
 * but not for long: a click on a visible choice waits for these retries.
 * Returns whether the page's choice stands for another model than before.
 */
export async function readModels() {
  const chosen = mainChoice.value;
  try {
    const signal = AbortSignal.timeout(60_000);
    const list = (await requestJSON("models", null, { signal, onWait: () => {} })).models;
    if (JSON.stringify(list) === JSON.stringify(models)) return false;
    models = list;
  } catch {
    return false; // the model card reports what is wrong with the server
  }
  document.querySelectorAll(".model-choice").forEach(fill);
  onList();
  return mainChoice.value !== (chosen || defaultChoice());
}

/** What the page's choice is for the default model. */
const defaultChoice = () => (models.length > 1 ? models.find((model) => model.default).hash : "");

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

/** The hash of a model that is not among these, or "" if the server has no other. */
export const otherModel = (hashes) =>
  models.length > 1 ? (models.find(({ hash }) => !hashes.includes(hash))?.hash ?? "") : "";

/** Calls a function when the user is about to choose a model. */
export function onModelChoice(callback) {
  for (const type of ["pointerdown", "focusin"])
    document.addEventListener(type, ({ target }) => {
      if (target.matches?.(".model-choice")) callback();
    });
}

// The name is kept, so that a model which is replaced by a new version stays chosen.
document.addEventListener("change", ({ target }) => {
  if (target.matches(".model-choice")) target.dataset.model = modelName(target.value);
});
