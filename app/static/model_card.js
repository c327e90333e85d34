// The model card: which model is loaded, and where it runs.

import { hasKey, requestJSONOnce } from "./api.js";
import { cellLabel, isWeak } from "./cell.js";
import { make, makeButton, makeEntry } from "./dom.js";
import { adaptForm } from "./form.js";
import { chosenModel } from "./model_choice.js";
import { countOf, formatCount } from "./numbers.js";
import { explain } from "./shown_error.js";
import { bits } from "./surprisal.js";

const card = document.querySelector("#card");
const jsonLink = document.querySelector("#card-link");
const tagline = document.querySelector("#model");

let onShown = () => {};

/** Calls `callback(info)` each time a card is shown. */
export function onCard(callback) {
  onShown = callback;
}

const infoPath = (model) => (model ? `info?model=${model}` : "info");

/** Reads the card of the model with a hash, or of the default model if the hash is "". */
export const readInfo = (model) => requestJSONOnce(infoPath(model));

/**
 * Reads the model card from the server and shows it. Returns null if that fails.
 * Unless `quietly` is set, adapts the form to the model, and shows a failure in the card.
 */
export async function readCard({ quietly = false } = {}) {
  try {
    const model = chosenModel();
    const info = await readInfo(model);
    jsonLink.querySelector("a").href = infoPath(model);
    show(info);
    onShown(info);
    if (!quietly) adaptForm(info);
    return info;
  } catch (error) {
    if (!quietly) showFailure(error);
    return null;
  }
}

function show(info) {
  jsonLink.hidden = hasKey(); // following a link sends no key
  tagline.textContent = summary(info);
  const visible = info.vocabulary.filter((character) => character.trim()).join("");
  const vocabulary = makeEntry(`Vocabulary, ${info.vocabulary.length}`, visible);
  vocabulary.classList.add("full-width");
  vocabulary.lastChild.classList.add("characters");
  card.replaceChildren(make("dl", "", ...entries(info), ...cellEntries(info), vocabulary));
}

function summary(info) {
  const loss = info.validation_loss;
  const quality = loss === null ? "" : `, ${bits(loss).toFixed(2)} bits per character`;
  return (
    `${info.name}: ${info.layers} × ${info.hidden_size} LSTM over ` +
    `${countOf(info.vocabulary.length, "character")}${quality}; ${info.precision} on ${info.device}`
  );
}

function entries(info) {
  const { training, limits, validation_loss: loss } = info;
  return [
    ["Name", info.name],
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
  const reason = error.status === 401 ? "This server requires an API key." : explain(error);
  const retry = makeButton("quiet", "Try again");
  retry.addEventListener("click", () => readCard());
  card.replaceChildren(make("p", "hint", `The model card could not be read. ${reason} `, retry));
}
