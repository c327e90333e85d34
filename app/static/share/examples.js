// Examples: links to the views that show most, as far as the loaded models have them.

import { cellId, isWeak } from "../lens/cell.js";
import { chosenModel, otherModel } from "../form/model_choice.js";
import { byId, make, makeButton } from "../ui/dom.js";
import { linkToTexts } from "./permalink.js";

const DEFAULTS = { length: "500", top_k: "5", temperature: "0.7", top_p: "", seed: "7" };
const DIALOGUE = '"Well, and what did he say?" asked Levin.\n\n';
const NAMES =
  "Mrs. Quimby walked to the Zeppelin Hotel. Mrs. Quimby knew nobody at the Zeppelin Hotel. ";

/** Lists the examples for the models of a server. `onType()`: the user chose to type. */
export function showExamples({ cells, memory, prime, vocabulary }, onType) {
  const known = new Set(vocabulary);
  const link = (label, text, others = [], view = {}) => {
    const first = { ...DEFAULTS, prime, ...text };
    if (![...first.prime].every((character) => known.has(character))) return null;
    const texts = [first, ...others.map((other) => ({ ...first, ...other }))];
    const anchor = make("a", "", label);
    anchor.href = linkToTexts(texts, view);
    return anchor;
  };
  const cellLink = (label, property, text, value) => {
    const cell = cells.find((tracked) => tracked.property === property && !isWeak(tracked));
    if (!cell) return null;
    const id = cellId(cell);
    const others = value === undefined ? [] : [{ hold: `${id}:${value}` }];
    return link(label, text, others, { lens: "cells", cell: id });
  };
  const other = otherModel([chosenModel()]);
  const type = makeButton("quiet", "Suggestions while you type");
  type.addEventListener("click", onType);
  const items = [
    cellLink("A cell that knows quotation marks", "quotes", { prime: DIALOGUE, seed: "5" }),
    cellLink("A cell that counts along the line", "line_position", {}),
    cellLink("Steer the length of lines", "line_position", {}, 2),
    other && link("Two writers", { model: chosenModel() }, [{ model: other }]),
    link("A text of a given shape", { length: "60", pattern: "[A-Z][a-z]+, ([a-z]+ ){3}[a-z]+\\." }),
    memory.available &&
      link("A memory for names", { prime: NAMES, top_k: "20", memory: "true" }),
    type,
  ].filter(Boolean);
  byId("examples").replaceChildren(
    make("h2", "", "Examples"),
    make("ul", "", ...items.map((item) => make("li", "", item))),
  );
  byId("examples").hidden = false;
}
