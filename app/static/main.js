// Entry point: connects the form, the texts, the address and the server.

import * as alternatives from "./text/alternatives.js";
import { onKeyRequired } from "./server/api.js";
import { copyAndReport } from "./ui/clipboard.js";
import { Columns, MAX_COLUMNS } from "./text/columns.js";
import { byId } from "./ui/dom.js";
import { showExamples } from "./share/examples.js";
import { ExportMenu } from "./share/export_menu.js";
import { enteredSettings, fillForm, form, settings } from "./form/form.js";
import { GenerationRunner } from "./text/generation_runner.js";
import { formatHold, heldValue, parseHold } from "./form/hold.js";
import { HoldSlider } from "./form/hold_slider.js";
import { askForKey } from "./form/key_dialog.js";
import { LensPanel } from "./lens/lens_panel.js";
import { onCard, readCard, readServer, refreshModels } from "./form/model_card.js";
import { chooseModel, onModelChoice, onModelChosen, onModels } from "./form/model_choice.js";
import { adaptMemory } from "./form/memory_switch.js";
import * as pace from "./form/pace.js";
import { linkToPassage, parseLink } from "./share/permalink.js";
import { ScorePanel } from "./lens/score_panel.js";
import { textOf } from "./server/scoring.js";
import { explain } from "./ui/shown_error.js";
import { Tabs } from "./ui/tabs.js";
import { TypePanel } from "./typing/type_panel.js";

const NO_ROOM = "There is no room for another text. Remove one, then steer.";
const DAMAGED_LINK = "This link is damaged, so it was not opened.";

const tabs = new Tabs();
let comparisonSeed = null; // a seed that the page entered when the user started a comparison
const columns = new Columns({
  onFork: (column, records) => run([continuation(column, records)]),
  onRemove,
});
const runner = new GenerationRunner(columns, {
  onChange: refresh,
  onLink: setAddress,
  onReplaced: () => runner.isRunning || generate(),
  onEnd: showLens,
  getView: () => ({ pace: pace.isPaced() ? pace.name() : "", ...lensPanel.view }),
});
const slider = new HoldSlider(steer);
const lensPanel = new LensPanel("write", {
  panes: () => columns.all.map((column) => column.pane),
  texts: () =>
    columns.withText.filter((column) => !column.isRunning).map((column) => column.lensText),
  onLens: () => {
    columns.lensName = lensPanel.lens.name;
    if (columns.lensName === "surprisal" && !runner.isRunning) runner.scoreLoader.load();
  },
  onCell: showCell,
  onLink: updateLink,
});
const exportMenu = new ExportMenu(columns, runner.statusLine);
const scorePanel = new ScorePanel({
  onFork: forkPassage,
  onLink: (scored, view, historyMode) => setAddress(linkToPassage(scored, view), historyMode),
});
const typePanel = new TypePanel();

/** Generates a new text in each column, all with the same prime, length and seed. */
function generate() {
  const shared = settings();
  const settingsOf = ({ ownSettings }) => ({ ...shared, ...ownSettings });
  run(columns.all.map((column) => ({ column, settings: settingsOf(column), kept: [] })));
}

/** Continues each text from its end. */
function continueTexts() {
  const shared = settings();
  run(columns.withText.map((column) => continuation(column, column.records, shared)));
}

/** The plan that continues a column's text after `records`, with the settings in the form now. */
function continuation(column, records, shared = settings()) {
  const { prime, model } = column.textSettings;
  return { column, settings: { ...shared, ...column.ownSettings, prime, model }, kept: records };
}

/** Writes a text beside the first one, with the same seed, while the chosen cell has a value. */
function steer(value) {
  const hold = formatHold(lensPanel.cell, value);
  const column = columns.steer(hold);
  if (!column) {
    slider.set(null);
    return runner.statusLine.show(NO_ROOM, { isError: true });
  }
  keepSeed();
  refresh();
  const { first } = columns;
  if (!first.isRunning) first.pane.sheet.scrollTop = 0; // both texts are read from the top
  if (!first.textSettings) return generate();
  const held = { ...first.textSettings, hold };
  return run([{ column, settings: held, kept: first.keptRecords }]);
}

/** Completes what the chosen lens shows of new texts. */
function showLens() {
  if (columns.lensName === "surprisal") runner.scoreLoader.load();
  lensPanel.read();
}

/** Shows at which value the chosen cell is held. */
function showCell() {
  const { cell } = lensPanel;
  slider.disabled = cell === null;
  slider.set(cell && heldValue(columns.steered?.hold ?? "", cell));
}

/** Keeps the address up to date with how the texts are shown. */
function updateLink() {
  if (parseLink(location.hash)?.texts) runner.updateLink();
}

function run(plans, historyMode) {
  columns.scrollIntoView({ areNew: plans.every(({ kept }) => !kept.length) });
  return runner.run(plans, historyMode);
}

/** Continues a scored passage after one of its characters, with the alternative in its place. */
function forkPassage({ prime, memory, record }) {
  tabs.select("write");
  columns.truncate(1);
  fillForm({ prime, memory });
  columns.first.pane.sheet.focus({ preventScroll: true });
  run([{ column: columns.first, settings: settings(), kept: [record] }]);
}

function onRemove(column) {
  alternatives.hide();
  runner.cancel(column);
  if (!runner.isRunning) runner.statusLine.show("Ready.");
  const isSeedOurs = enteredSettings().seed === comparisonSeed;
  if (columns.all.length === 1 && isSeedOurs) fillForm({ seed: "" });
  showCell();
  refresh();
}

function compare() {
  keepSeed();
  columns.addComparison(settings());
  refresh();
}

/** Enters the seed of the existing text, so that generating repeats this text. */
function keepSeed() {
  const { textSettings } = columns.first;
  if (!textSettings || enteredSettings().seed !== "") return;
  comparisonSeed = textSettings.seed;
  fillForm({ seed: comparisonSeed });
}

/** Shows what the address describes. */
function openAddress() {
  const link = parseLink(location.hash);
  if (link?.passage !== undefined) return openPassage(link);
  scorePanel.cancel();
  tabs.select("write");
  if (link) openTextLink(link);
  else if (columns.first.textSettings) clear();
}

function openPassage(link) {
  tabs.select("score");
  chooseModel(link.model);
  scorePanel.open(link);
}

/** Opens a link to texts. A damaged one changes nothing on the page, which says what is wrong. */
function openTextLink({ texts, view }) {
  runner.stop();
  try {
    texts.forEach(({ hold }) => parseHold(hold));
  } catch (error) {
    return runner.statusLine.show(`${DAMAGED_LINK} ${explain(error)}`, { isError: true });
  }
  return openTexts(texts, view);
}

/** Texts of a link, with one that holds no cell before them if the first one holds a cell. */
const withFreeText = (linked) =>
  (linked[0].hold ? [{ ...linked[0], hold: "" }, ...linked] : linked).slice(0, MAX_COLUMNS);

function openTexts(linked, view) {
  pace.setFromLink(view.pace);
  fillForm(linked[0]);
  const defaults = settings(); // the form provides what the link leaves out
  const texts = withFreeText(linked).map((text) => ({ ...defaults, ...text }));
  columns.match(texts);
  lensPanel.view = view;
  columns.lensName = lensPanel.lens.name;
  const kept = texts.map((text) => Array.from(text.kept, (token) => ({ token })));
  run(
    columns.all.map((column, index) => ({ column, settings: texts[index], kept: kept[index] })),
    "replace",
  );
}

/** Sets the address's hash. It is null, and the address stays, if a link would be too long. */
function setAddress(hash, historyMode) {
  if (hash === null || hash === location.hash) return;
  const address = hash || location.pathname + location.search;
  if (historyMode === "push") history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

/** Enables the buttons that have something to act on. */
function refresh() {
  const focused = document.activeElement;
  const hasText = columns.withText.length > 0;
  byId("generate").disabled = runner.isRunning;
  byId("stop").disabled = !runner.isRunning;
  byId("continue").disabled = runner.isRunning || !hasText;
  for (const id of ["copy", "copy-link", "clear"]) byId(id).disabled = !hasText;
  byId("compare").disabled = columns.isFull;
  const label = columns.all.length === 2 ? "Compare with a third" : "Compare";
  byId("compare").setAttribute("aria-label", label); // the button itself keeps its size
  exportMenu.canSave = hasText && !runner.isRunning;
  if (focused?.disabled)
    byId(runner.isRunning ? "stop" : "generate").focus({ preventScroll: true });
}

function clear() {
  runner.stop();
  columns.truncate(1);
  columns.first.clear();
  runner.statusLine.show("Ready.");
  setAddress("", "push");
  refresh();
}

function copyTexts() {
  const text = columns.withText.map((column) => textOf(column.records)).join("\n\n");
  copyAndReport(text, "Text", runner.statusLine);
}

/** Copies a link to the texts. The address itself may lead elsewhere, such as to a passage. */
function copyLink() {
  const { link } = runner;
  if (link === null)
    runner.statusLine.show("This text is too long for a link. Copy the text instead.", {
      isError: true,
    });
  else copyAndReport(new URL(link, location).href, "Link", runner.statusLine);
}

/** Closes the topmost thing that is open or runs. */
function closeTopmost(isScoring) {
  if (exportMenu.menu.isOpen) exportMenu.menu.close();
  else if (alternatives.isOpen()) alternatives.hide();
  else if (isScoring) scorePanel.cancel();
  else runner.stop();
}

function onKey(event) {
  // While an input method composes characters, the keys are its own. The tab Type has its own, too.
  if (event.isComposing || byId("key-dialog").open || !byId("type").hidden) return;
  const isScoring = !byId("score").hidden;
  if (event.key === "Escape") {
    closeTopmost(isScoring);
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (isScoring) scorePanel.score();
    else if (!runner.isRunning) generate();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
byId("stop").addEventListener("click", () => runner.stop());
byId("continue").addEventListener("click", continueTexts);
byId("clear").addEventListener("click", clear);
byId("compare").addEventListener("click", compare);
byId("copy").addEventListener("click", copyTexts);
byId("copy-link").addEventListener("click", copyLink);
document.addEventListener("keydown", onKey);
pace.onChange(updateLink);
window.addEventListener("popstate", openAddress);

onKeyRequired(async (wasRejected) => {
  const key = await askForKey(wasRejected);
  if (key) setTimeout(readServer); // after the caller has stored the key
  return key;
});
let shownInfo = null; // of the model card
const startTyping = () => {
  tabs.select("type");
  byId("typed").focus();
};
const offerExamples = () =>
  shownInfo && showExamples(shownInfo, startTyping);

onCard((info) => {
  shownInfo = info;
  offerExamples();
  lensPanel.setCatalogue(info.cells);
  scorePanel.adapt(info);
  adaptMemory(info);
  typePanel.adapt(info);
});
onModels(() => {
  columns.all.forEach((column) => column.showSettings());
  offerExamples();
});
onModelChosen(() => readCard());
onModelChoice(refreshModels);
refresh();
openAddress();
readServer();
