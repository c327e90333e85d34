// ModelCard: what model is loaded, and where it runs.

import { ask, hasKey } from "./api.js";
import { make, pair } from "./dom.js";
import { count } from "./figures.js";
import { suit } from "./form.js";
import { bits } from "./surprise.js";

const card = document.querySelector("#card");
const link = document.querySelector("#card-link");
const line = document.querySelector("#model");

/**
 * Reads the card and shows it; null if that did not work.
 * Unless quietly, the fields are made to suit it, and the card says where it could not be read.
 */
export async function readCard({ quietly = false } = {}) {
  try {
    const info = await (await ask("info")).json();
    show(info);
    if (!quietly) suit(info);
    return info;
  } catch (error) {
    if (!quietly) apologise(error);
    return null;
  }
}

function show(info) {
  link.hidden = hasKey();
  const loss = info.validation_loss;
  const quality = loss === null ? "" : `, ${bits(loss).toFixed(2)} bits a character`;
  line.textContent =
    `${info.name}: ${info.layers} × ${info.hidden_size} LSTM over ` +
    `${info.vocabulary.length} characters${quality}; ${info.precision} on ${info.device}`;
  const characters = pair(
    `Vocabulary, ${info.vocabulary.length}`,
    info.vocabulary.filter((c) => c.trim()).join(""),
  );
  characters.classList.add("all");
  characters.lastChild.classList.add("characters");
  card.replaceChildren(make("dl", "", ...entries(info), characters));
}

function entries(info) {
  const { training, limits, validation_loss: loss } = info;
  return [
    ["Name", info.name],
    ["Hash", info.hash],
    [
      "Network",
      `LSTM, ${info.layers} ${info.layers === 1 ? "layer" : "layers"} of ${info.hidden_size}`,
    ],
    ["Weights", count(info.parameters)],
    loss === null
      ? null
      : ["Validation", `${loss.toFixed(4)} nats, ${bits(loss).toFixed(3)} bits a character`],
    training.training_characters && ["Characters trained on", count(training.training_characters)],
    training.corpus_sha256 && ["Corpus", `sha256 ${training.corpus_sha256.slice(0, 12)}…`],
    ["Runs on", `${info.device} in ${info.precision} by ${info.kernel}`],
    ["Takes", `${limits.streams} texts together, ${limits.queue} in the queue`],
    ["Longest text", count(limits.length)],
    ["charstream", info.version],
  ]
    .filter(Boolean)
    .map(([name, value]) => pair(name, value));
}

function apologise(error) {
  const said = error.status ? error.message : "the server cannot be reached";
  const why = error.status === 401 ? "this server wants a key" : said;
  const again = make("button", "quiet", "Read it again");
  again.type = "button";
  again.addEventListener("click", () => readCard());
  card.replaceChildren(make("p", "hint", `The model card could not be read: ${why}. `, again));
}
