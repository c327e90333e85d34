// The page: brings the form, the texts, the address and the server together.

import * as alternatives from "./alternatives.js";
import { onKeyWanted } from "./api.js";
import { Column } from "./column.js";
import { copy } from "./clipboard.js";
import { askForKey } from "./key_dialog.js";
import { readCard } from "./model_card.js";
import { linkOf, linkOfPassage, read } from "./permalink.js";
import * as problems from "./problems.js";
import { ScorePanel } from "./score_panel.js";
import { rolledSeed } from "./settings.js";
import { StatusLine } from "./status_line.js";
import { Tabs } from "./tabs.js";

const NAMES = ["A", "B", "C"];
const OTHERS = [{ top_k: "1" }, { top_k: "", temperature: "1.2" }]; // to compare with, at first
const PRIME = "And Levin said,";

const element = (id) => document.getElementById(id);
const form = element("controls");
const field = (name) => form.elements.namedItem(name);
const colours = element("colours");
const status = new StatusLine();
const runs = new Map(); // column -> AbortController
const columns = [];
let info = null;

const tabs = new Tabs();
const scorePanel = new ScorePanel({
  onFork: (prime, record) => {
    tabs.select("write");
    keepColumns(1);
    field("prime").value = prime;
    begin([[columns[0], { ...settings(), prime }, [record]]]);
  },
  onScored: (passage, hash) => go(linkOfPassage(passage, hash)),
  explain,
});

// The form

function settings() {
  const names = ["prime", "length", "top_k", "temperature", "top_p", "seed"];
  const values = Object.fromEntries(names.map((name) => [name, field(name).value]));
  const badSeed = field("seed").validity.badInput;
  return { ...values, seed: values.seed || badSeed ? values.seed : rolledSeed() };
}

function fillForm(values) {
  for (const name of ["prime", "length", "top_k", "temperature", "top_p", "seed"])
    field(name).value = values[name];
}

// Columns

function addColumn(own = null) {
  const column = new Column({ own, onFork: fork, onRemove: removeColumn });
  column.pane.coloured = colours.checked;
  if (!columns.length) column.pane.text.id = "text";
  columns.push(column);
  element("columns").append(column.root);
  nameColumns();
}

function removeColumn(column) {
  alternatives.hide();
  runs.get(column)?.abort();
  columns.splice(columns.indexOf(column), 1);
  column.root.remove();
  nameColumns();
  refresh();
}

function keepColumns(count) {
  for (const column of columns.slice(count)) removeColumn(column);
}

function nameColumns() {
  const several = columns.length > 1;
  element("columns").classList.toggle("several", several);
  columns.forEach((column, place) => {
    column.name = several ? NAMES[place] : "";
  });
}

// Writing

/** Everything anew: each column with the same prime, length and seed. */
function generate() {
  const shared = settings();
  begin(columns.map((column) => [column, { ...shared, ...column.own }, []]));
}

/** Each text goes on from its end. */
function goOn() {
  begin(columns.filter((column) => column.made).map((column) => plan(column, column.records)));
}

function fork(column, records) {
  begin([plan(column, records)]);
}

/** From records of a column's text on, by the settings that the fields have now. */
function plan(column, records) {
  const { prime, model } = column.made;
  return [column, { ...settings(), ...column.own, prime, model }, records];
}

/** Writes texts side by side. `plans`: [column, settings, records kept]. */
async function begin(plans, { history = "push" } = {}) {
  for (const [column] of plans) runs.get(column)?.abort();
  for (const each of [form, ...columns.map((column) => column.form)]) problems.clear(each);
  alternatives.hide();
  status.say("Waiting for the first character…");
  showStage();
  let first = true;
  const answered = () => {
    if (first) go(link(plans), history);
    first = false;
  };
  const results = await Promise.all(plans.map((each) => run(each, answered)));
  if (runs.size || results.includes("replaced")) return;
  if (results.every((result) => typeof result === "object")) status.say(summary(results));
  if (!first) go(link(), "replace");
  completeAll();
}

/** Writes one text; its result is the end's data, or "stopped", "replaced" or "failed". */
async function run([column, wanted, kept], answered) {
  const controller = new AbortController();
  runs.set(column, controller);
  refresh();
  let started = false;
  try {
    const done = await column.write(wanted, kept, {
      signal: controller.signal,
      scores: colours.checked,
      onWait: (wait) => status.wait(wait),
      onAnswer: (headers) => {
        answered();
        refresh();
        status.say(queueWords(headers));
      },
      onFirst: () => {
        if (!started || status.words.classList.contains("error")) status.say("Writing…");
        started = true;
      },
    });
    return done ?? {};
  } catch (error) {
    if (controller.signal.aborted) return runs.get(column) === controller ? "stopped" : "replaced";
    const retry = [
      "Write it with this one",
      () => begin([[column, { ...wanted, model: "" }, kept]]),
    ];
    explain(error, column.inputs.length ? [column.form, form] : [form], status, retry);
    return "failed";
  } finally {
    if (runs.get(column) === controller) runs.delete(column);
    refresh();
  }
}

function stop() {
  if (!runs.size) return;
  const written = [...runs.keys()].reduce((sum, column) => sum + column.records.length, 0);
  for (const controller of runs.values()) controller.abort();
  status.say(`Stopped after ${written} characters.`);
}

function queueWords(headers) {
  const ahead = Number(headers.get("Charstream-Queue"));
  return ahead ? `In the queue, ${ahead} ahead…` : "Waiting for the first character…";
}

function summary(results) {
  const { timings, usage, finish_reason: reason } = results[0];
  const made = columns.filter((column) => column.made);
  const seed = made[0].made.seed;
  if (results.length > 1) return `${results.length} texts, seed ${seed}.`;
  if (!usage) return "The text is complete.";
  const rate = Math.round(timings.characters_per_second).toLocaleString("en");
  const end = reason === "stop" ? ", ended by a stop string" : "";
  return `${usage.generated_characters} characters, ${rate} a second, seed ${seed}${end}.`;
}

async function completeAll() {
  if (!colours.checked) return;
  const controller = new AbortController();
  try {
    for (const column of columns) {
      if (!runs.has(column))
        await column.complete({ signal: controller.signal, onWait: () => controller.abort() });
    }
  } catch {
    // colours are a gift; a text without them is still a text
  }
}

// Errors in words

/** Says what went wrong: beside the fields that caused it, and in the status line. */
function explain(error, forms, line, retry) {
  const labels = [forms]
    .flat()
    .reduce((found, each) => (found.length ? found : problems.show(each, error.errors ?? [])), []);
  if (error.status === 401) {
    line.say("This server wants a key.", { isError: true });
  } else if (error.code === "other_model") {
    readCard({ quietly: true });
    const words =
      "This was made with another model than the one that is loaded here, which would write something else.";
    line.say(words, { isError: true, remedy: retry });
  } else if (labels.length) {
    line.say(`Not done: see ${labels.join(" and ")}.`, { isError: true, remedy: cleanup(error) });
  } else {
    line.say(error.message || "Something went wrong.", { isError: true });
  }
}

function cleanup(error) {
  const known = new Set(info?.vocabulary);
  if (error.code !== "unknown_character" || !known.size) return null;
  const name = error.errors[0].field === "text" ? "passage" : "prime";
  return [
    "Leave these characters out",
    () => {
      element(name).value = Array.from(element(name).value)
        .filter((character) => known.has(character))
        .join("");
      element(name).focus();
      status.say("Ready.");
      problems.clear(element(name).form);
    },
  ];
}

// The address

function link(plans) {
  const planned = new Map(
    plans?.map(([column, wanted, kept]) => [column, { ...wanted, kept: tokens(kept) }]),
  );
  const texts = columns.map((column) => planned.get(column) ?? column.made).filter(Boolean);
  return texts.length
    ? linkOf(texts.map((text) => ({ kept: "", model: info?.hash ?? "", ...text })))
    : "";
}

const tokens = (records) => records.map((record) => record.token).join("");

function go(hash, how = "push") {
  const address = hash || location.pathname + location.search;
  if (hash === location.hash || hash === null) return;
  history[how === "push" ? "pushState" : "replaceState"](null, "", address);
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
  } else if (columns[0].made) {
    clear();
  }
}

function openTexts(texts) {
  stop();
  fillForm(texts[0]);
  keepColumns(texts.length);
  while (columns.length < texts.length) addColumn(texts[columns.length]);
  const plans = columns.map((column, place) => {
    column.own = texts[place];
    return [column, texts[place], Array.from(texts[place].kept, (token) => ({ token }))];
  });
  begin(plans, { history: "replace" });
}

// The rest

function refresh() {
  const running = runs.size > 0;
  const written = columns.some((column) => column.made);
  const focused = document.activeElement;
  element("generate").disabled = running;
  element("stop").disabled = !running;
  element("continue").disabled = running || !written;
  for (const id of ["copy", "copy-link", "clear"]) element(id).disabled = !written;
  const more = columns.length < NAMES.length;
  element("compare").disabled = !more;
  element("compare").textContent = columns.length === 2 ? "Compare with a third" : "Compare";
  if (focused?.disabled)
    (running ? element("stop") : element("generate")).focus({ preventScroll: true });
}

function clear() {
  stop();
  keepColumns(1);
  columns[0].clear();
  status.say("Ready.");
  go("");
  refresh();
}

function showStage() {
  const top = element("columns").getBoundingClientRect().top;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (top > window.innerHeight * 0.8) {
    element("columns")
      .closest(".stage")
      .scrollIntoView({ behavior: calm ? "auto" : "smooth" });
  }
}

async function copyTo(text, what) {
  const done = await copy(text);
  status.say(
    done
      ? `${what} copied.`
      : `The browser does not let this page copy; mark the text and copy it.`,
    { isError: !done },
  );
}

async function start() {
  addColumn();
  refresh();
  onKeyWanted(async (wasWrong) => {
    const key = await askForKey(wasWrong);
    if (key && !info) setTimeout(learn);
    return key;
  });
  open();
  await learn();
}

async function learn() {
  info = await readCard();
  if (!info) return;
  field("length").max = info.limits.length;
  const known = new Set(info.vocabulary);
  const prime = field("prime");
  const untouched = prime.value === PRIME && !location.hash;
  if (untouched && !Array.from(PRIME).every((character) => known.has(character))) prime.value = "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
element("stop").addEventListener("click", stop);
element("continue").addEventListener("click", goOn);
element("clear").addEventListener("click", clear);
element("dice").addEventListener("click", () => {
  field("seed").value = rolledSeed();
});
element("compare").addEventListener("click", () => {
  addColumn({ ...settings(), ...OTHERS[columns.length - 1] });
  refresh();
  columns.at(-1).inputs[0].focus();
});
element("copy").addEventListener("click", () => {
  const texts = columns.filter((column) => column.made).map((column) => column.pane.view.content());
  copyTo(texts.join("\n\n"), "Text");
});
element("copy-link").addEventListener("click", () => copyTo(location.href, "Link"));
colours.addEventListener("change", () => {
  for (const column of columns) column.pane.coloured = colours.checked;
  element("legend").hidden = !colours.checked;
  if (!runs.size) completeAll();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !element("key-dialog").open) {
    if (alternatives.isOpen()) alternatives.hide();
    else stop();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (!element("score").hidden) element("score-it").click();
    else if (!runs.size) generate();
  }
});
window.addEventListener("popstate", open);

start();
