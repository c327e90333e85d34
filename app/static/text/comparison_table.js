// The table below several texts: their models, and what the texts are like.

import { readInfo, summary } from "../form/model_card.js";
import { byId, make } from "../ui/dom.js";
import { bits } from "../lens/surprisal.js";

const table = byId("comparison");
const infos = new Map(); // hash of a model -> what GET /info says of it, or null if that is unknown

/** Compares the texts of several columns, or hides the table if there is only one. */
export function compare(columns) {
  const texts = columns.filter((column) => column.textSettings);
  table.hidden = texts.length < 2;
  if (table.hidden) return;
  const hashes = texts.map(({ textSettings }) => textSettings.model);
  for (const hash of hashes) if (!infos.has(hash)) readModel(hash).then(() => compare(columns));
  const facts = texts.map((text, index) => new Map(factsOf(text, infos.get(hashes[index]))));
  const labels = new Set(facts.flatMap((each) => [...each.keys()]));
  const rows = [...labels].map((label) => {
    const values = facts.map((each) => make("td", "", each.get(label) ?? "–"));
    return make("tr", "", makeHead("row", label), ...values);
  });
  const heads = ["", ...texts.map(({ letter }) => letter)].map((text) => makeHead("col", text));
  table.replaceChildren(make("thead", "", make("tr", "", ...heads)), make("tbody", "", ...rows));
}

async function readModel(hash) {
  infos.set(hash, null);
  infos.set(hash, await readInfo(hash).catch(() => null));
}

function factsOf({ pane, subtitle }, info) {
  return [...(info ? modelFacts(info) : []), ["Settings", subtitle.textContent], ...pane.facts];
}

const modelFacts = (info) => [
  ["Model", info.name],
  ["What it is", summary(info)],
  ...(info.validation_loss === null
    ? []
    : [["Bits per character of its validation text", bits(info.validation_loss).toFixed(2)]]),
];

function makeHead(scope, text) {
  const head = make(text || scope === "row" ? "th" : "td", "", text);
  if (text) head.scope = scope;
  return head;
}
