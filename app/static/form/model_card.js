// The model card: which model is loaded, and where it runs.

import { hasKey, requestJSONOnce } from "../server/api.js";
import { cellLabel, isWeak } from "../lens/cell.js";
import { make, makeButton, makeEntry } from "../ui/dom.js";
import { adaptForm } from "./form.js";
import { chosenModel, readModels } from "./model_choice.js";
import { countOf, formatCount } from "../ui/numbers.js";
import { explain } from "../ui/shown_error.js";
import { bits } from "../lens/surprisal.js";

const card = document.querySelector("#card");
const jsonLink = document.querySelector("#card-link");
const heading = document.querySelector("#card-title");
const tagline = document.querySelector("#model");

let onShown = () => {};
let readings = 0; // a later one makes the results of those before it obsolete
let isFormDue = false; // whether the form must be adapted to the next card
let refreshing = null; // the promise of `refreshModels` while it runs

/** Calls `callback(info)` each time a card is shown. */
export function onCard(callback) {
  onShown = callback;
}

const infoPath = (model) => (model ? `info?model=${encodeURIComponent(model)}` : "info");

/** Reads the card of the model with a hash, or of the default model if the hash is "". */
export const readInfo = (model) => requestJSONOnce(infoPath(model));

/** Reads the model card and the list of models, and the card of the model that a link names. */
export async function readServer() {
  if (await readCard()) await refreshModels();
}

/**
 * Reads the list of models again, which a reload of the server may have changed. Callers at the
 * same time share one request.
 */
export function refreshModels() {
  refreshing ??= refresh().finally(() => {
    refreshing = null;
  });
  return refreshing;
}

async function refresh() {
  if (await readModels()) await readCard();
}

/**
 * Reads the card of the chosen model and shows it. Returns whether it is shown: not after a
 * failure, nor if the card was read again in the meantime, perhaps of another model.
 * Unless `quietly` is set, adapts the form to the model, and shows a failure in the card.
 */
export async function readCard({ quietly = false } = {}) {
  readings += 1;
  const reading = readings;
  isFormDue ||= !quietly;
  const model = chosenModel();
  let info;
  try {
    info = await readInfo(model);
  } catch (error) {
    if (reading === readings && isFormDue) showFailure(error);
    return false;
  }
  if (reading !== readings) return false;
  show(info, model);
  onShown(info);
  if (isFormDue) adaptForm(info);
  isFormDue = false;
  return true;
}

function show(info, model) {
  jsonLink.hidden = hasKey(); // following a link sends no key
  jsonLink.querySelector("a").href = infoPath(model);
  tagline.textContent = summary(info);
  const visible = info.vocabulary.filter((character) => character.trim()).join("");
  const vocabulary = makeEntry(`Vocabulary, ${info.vocabulary.length}`, visible);
  vocabulary.classList.add("full-width");
  vocabulary.lastChild.classList.add("characters");
  card.replaceChildren(make("dl", "", ...entries(info), ...cellEntries(info), vocabulary));
}

/** Says in a line what a model has learned from, or how large it is. */
export function summary(info) {
  const { title, name, training, layers, hidden_size: units, vocabulary } = info;
  const count = countOf(vocabulary.length, "character");
  if (!title) return `${name}: ${layers} × ${units} LSTM over ${count}`;
  const size = training.training_characters;
  return `Learned from ${title}${size ? `, ${aboutCount.format(size)} characters` : ""}`;
}

const aboutCount = new Intl.NumberFormat("en", { notation: "compact", compactDisplay: "long" });

function entries(info) {
  const { training, limits, validation_loss: loss } = info;
  return [
    ["Name", info.name],
    info.title && ["Learned from", info.source ? `${info.title}: ${info.source}` : info.title],
    ["Hash", info.hash],
    ["Network", `LSTM, ${countOf(info.layers, "layer")} of size ${info.hidden_size}`],
    ["Parameters", formatCount(info.parameters)],
    loss === null ? null : ["Validation loss", formatLoss(loss)],
    training.training_characters && [
      "Training characters",
      formatCount(training.training_characters),
    ],
    ["Runs on", `${info.device}, ${info.precision}, ${info.kernel}`],
    ["Capacity", `${limits.streams} streams, ${limits.queue} in the queue`],
    ["Maximum length", formatCount(limits.length)],
    ["charstream", info.version],
  ]
    .filter(Boolean)
    .map(([label, value]) => makeEntry(label, value));
}

function cellEntries({ cells }) {
  const tracked = cells.filter((cell) => !isWeak(cell)).map(cellLabel);
  if (!tracked.length) return [];
  const entry = makeEntry("What its cells track", tracked.join("; "));
  entry.classList.add("full-width");
  return [entry];
}

const formatLoss = (loss) => `${loss.toFixed(4)} nats, ${bits(loss).toFixed(3)} bits per character`;

function showFailure(error) {
  const retry = makeButton("quiet", "Try again");
  retry.addEventListener("click", () => {
    card.replaceChildren(make("p", "hint", "Loading…"));
    heading.focus();
    readServer();
  });
  const message = `The model card could not be read. ${explain(error)} `;
  card.replaceChildren(make("p", "hint", message, retry));
}
