// The page: brings the form, the texts, the address and the server together.

import * as alternatives from "./alternatives.js";
import { onKeyWanted } from "./api.js";
import { copy } from "./clipboard.js";
import { Columns } from "./columns.js";
import { fillForm, form, settings, settingsAsTyped } from "./form.js";
import { askForKey } from "./key_dialog.js";
import { readCard } from "./model_card.js";
import { linkOfPassage, read } from "./permalink.js";
import { ScorePanel } from "./score_panel.js";
import { tokensOf } from "./scoring.js";
import { Tabs } from "./tabs.js";
import { Writer } from "./writer.js";

const element = (id) => document.getElementById(id);

const tabs = new Tabs();
let comparedSeed = null; // that was filled in, not typed
const columns = new Columns({
  onFork: (column, records) => begin([goingOn(column, records)]),
  onRemove: (column) => {
    alternatives.hide();
    writer.drop(column);
    if (!writer.isRunning) writer.status.say("Ready.");
    if (columns.all.length === 1 && settingsAsTyped().seed === comparedSeed) fillForm({ seed: "" });
    refresh();
  },
});
const writer = new Writer(columns, { change: refresh, link: go });
const scorePanel = new ScorePanel({
  onFork: (prime, record) => {
    tabs.select("write");
    columns.keep(1);
    fillForm({ prime });
    columns.first.pane.sheet.focus({ preventScroll: true });
    begin([[columns.first, settings(), [record]]]);
  },
  onScored: (passage, hash) => go(linkOfPassage(passage, hash), "push"),
});

/** Everything anew: each column with the same prime, length and seed. */
function generate() {
  const shared = settings();
  begin(columns.all.map((column) => [column, { ...shared, ...column.own }, []]));
}

/** Each text goes on from its end. */
function goOn() {
  const shared = settings();
  begin(columns.written.map((column) => goingOn(column, column.records, shared)));
}

/** The plan to go on from records of a column's text, by the settings that the fields have now. */
function goingOn(column, records, shared = settings()) {
  const { prime, model } = column.made;
  return [column, { ...shared, ...column.own, prime, model }, records];
}

function begin(plans, how) {
  showStage();
  return writer.begin(plans, how);
}

/** Does what the address says. */
function open() {
  const wanted = read(location.hash);
  if (wanted?.passage !== undefined) {
    tabs.select("score");
    scorePanel.open(wanted.passage, wanted.model);
  } else if (wanted) {
    tabs.select("write");
    openTexts(wanted.texts);
  } else if (columns.first.made) {
    clear();
  }
}

function openTexts(given) {
  writer.stop();
  fillForm(given[0]);
  const shared = settings(); // what a link leaves out is as the fields have it
  const texts = given.map((text) => ({ ...shared, ...text }));
  columns.fit(texts);
  const kept = texts.map((text) => Array.from(text.kept, (token) => ({ token })));
  begin(
    columns.all.map((column, place) => [column, texts[place], kept[place]]),
    "replace",
  );
}

/** Makes the address lead to something; hash is null if it would be too long for one. */
function go(hash, how) {
  if (hash === null || hash === location.hash) return;
  const address = hash || location.pathname + location.search;
  if (how === "push") history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

/** Shows which buttons there is something to do for. */
function refresh() {
  const focused = document.activeElement;
  const written = columns.written.length > 0;
  element("generate").disabled = writer.isRunning;
  element("stop").disabled = !writer.isRunning;
  element("continue").disabled = writer.isRunning || !written;
  for (const id of ["copy", "copy-link", "clear"]) element(id).disabled = !written;
  element("compare").disabled = columns.isFull;
  element("compare").textContent = columns.all.length === 2 ? "Compare with a third" : "Compare";
  if (focused?.disabled)
    element(writer.isRunning ? "stop" : "generate").focus({ preventScroll: true });
}

function clear() {
  writer.stop();
  columns.keep(1);
  columns.first.clear();
  writer.status.say("Ready.");
  go("", "push");
  refresh();
}

/** Where the text would begin out of sight, brings it there. */
function showStage() {
  const { top } = columns.root.getBoundingClientRect();
  if (top < window.innerHeight * 0.8) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  columns.root.parentElement.scrollIntoView({ behavior: calm ? "auto" : "smooth" });
}

async function copyAndSay(text, what) {
  if (await copy(text)) writer.status.say(`${what} copied.`);
  else writer.status.say("The browser does not let this page copy.", { isError: true });
}

/** The address itself may lead elsewhere: to a scored passage, or to what was there before. */
function copyLink() {
  const { link } = writer;
  if (link === null) writer.status.say("This text is too long for a link.", { isError: true });
  else copyAndSay(new URL(link, location).href, "Link");
}

function onKey(event) {
  if (element("key-dialog").open) return;
  if (event.key === "Escape") {
    alternatives.hide();
    if (element("score").hidden) writer.stop();
    else scorePanel.cancel();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (!element("score").hidden) scorePanel.score();
    else if (!writer.isRunning) generate();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
element("stop").addEventListener("click", () => writer.stop());
element("continue").addEventListener("click", goOn);
element("clear").addEventListener("click", clear);
element("compare").addEventListener("click", () => {
  const { made } = columns.first;
  if (made && settingsAsTyped().seed === "") {
    comparedSeed = made.seed; // so that what is there stays
    fillForm({ seed: comparedSeed });
  }
  columns.addOther(settings());
  refresh();
});
element("copy").addEventListener("click", () =>
  copyAndSay(columns.written.map((column) => tokensOf(column.records)).join("\n\n"), "Text"),
);
element("copy-link").addEventListener("click", copyLink);
element("colours").addEventListener("change", ({ target }) => {
  columns.coloured = target.checked;
  element("legend").hidden = !target.checked;
  if (!writer.isRunning) writer.complete();
});
document.addEventListener("keydown", onKey);
window.addEventListener("popstate", open);

onKeyWanted(async (wasWrong) => {
  const key = await askForKey(wasWrong);
  if (key) setTimeout(readCard); // with that key, then
  return key;
});
refresh();
open();
readCard();
