// The panel with the characters that the model considered in place of one: beside the text in a
// wide window, otherwise above or below the character.

import { announce } from "../ui/announcer.js";
import { glyph, spokenName } from "../ui/character_names.js";
import { make, makeButton } from "../ui/dom.js";
import { describeSampling } from "../form/settings.js";
import { bits, percent, surprisal } from "../lens/surprisal.js";

const panel = document.querySelector("#alternatives");
const GAP = 2; // pixels between character and panel, small enough for the pointer to cross
const EDGE = 8; // pixels between the panel and the window's edges
const MIN_HEIGHT = 96; // pixels; with less room the panel scrolls
const HIDE_DELAY = 250; // milliseconds that the pointer may be outside of both
const WIDE_WINDOW = matchMedia("(min-width: 75rem)");
const WIDE_SHEET = 720; // pixels of a text with room for the panel at its side
const FIRST_ROWS = 5; // alternatives that are always shown
const LEAST = 0.001; // probability of the others

let hideTimer = 0;
let sheet = null; // gets the focus when the panel closes
let anchor = null; // the element of the character
let onHide = () => {};
let isPinned = false; // the panel stays when the pointer leaves, and at its character

export const isOpen = () => !panel.hidden;
export const staysOpen = () => isPinned;

/**
 * Shows a record's alternatives. A pinned panel stays as it is until the user closes it or clicks
 * another character, so that the pointer can cross others on its way to the panel.
 *
 * Options: `onChoose(token)`; `sheet`, the text's element, which gets the focus back; `announce`,
 * whether screen readers read out the alternatives; `pin`, whether to pin the panel; `onHide()`.
 */
export function show(element, record, options) {
  isPinned = Boolean(options.pin);
  clearTimeout(hideTimer);
  if (onHide !== options.onHide) onHide();
  onHide = options.onHide;
  sheet = options.sheet;
  anchor = element;
  panel.replaceChildren(...makeHeading(record), makeList(record, options.onChoose), makeHint());
  panel.hidden = false;
  placePanel();
  if (options.announce) announce(announcement(record));
}

export function hide() {
  clearTimeout(hideTimer);
  if (panel.hidden) return;
  const hadFocus = panel.contains(document.activeElement);
  panel.hidden = true;
  isPinned = false;
  onHide();
  onHide = () => {};
  if (hadFocus) sheet?.focus({ preventScroll: true });
}

/** Hides the panel after a delay, unless it is pinned or the pointer enters it in time. */
export function hideSoon() {
  clearTimeout(hideTimer);
  if (!isPinned) hideTimer = setTimeout(hide, HIDE_DELAY);
}

/** Moves the focus to the alternative that is in the text, or to the first one. */
export function focusFirst() {
  (panel.querySelector("button.current") ?? panel.querySelector("button"))?.focus();
}

function makeHeading(record) {
  const character = make("strong", "", glyph(record.token));
  const probability = make("b", "", percent(Math.exp(record.logprob)));
  const lines = describe(record).flatMap((line) => [line, make("br")]);
  return [make("p", "title", character, probability), make("p", "details", ...lines)];
}

/** What the scores say about a record, line by line. */
function describe(record) {
  const lines = [
    `Rank ${record.rank}, surprisal ${surprisal(record).toFixed(1)} bits`,
    `Entropy before it: ${bits(record.entropy).toFixed(1)} bits`,
  ];
  if (record.chosen) lines.push("You chose this character");
  else if (record.probability !== undefined) {
    const sampling = describeSampling(record.settings);
    lines.push(`Drawn at ${percent(record.probability)} with ${sampling}`);
  }
  return lines;
}

/**
 * The alternatives of a record, as { token, probability, drawn, isExcluded }. `probability` is the
 * model's own; `drawn` is the one after temperature and all filters, if the server has sent it.
 */
function alternativesOf({ top, settings }) {
  const topK = Number(settings?.top_k || Infinity);
  return top.map(([token, logprob, drawn], index) => {
    const isExcluded = drawn === undefined ? index >= topK : drawn === 0;
    return { token, probability: Math.exp(logprob), drawn, isExcluded };
  });
}

function makeList(record, onChoose) {
  const all = alternativesOf(record).filter(
    ({ token, probability }, index) =>
      index < FIRST_ROWS || probability >= LEAST || token === record.token,
  );
  const items = all.map((each) => makeAlternative(each, each.token === record.token, onChoose));
  const list = make("ul", "", ...items.map((item) => make("li", "", item)));
  const cut = all.findIndex(({ isExcluded }) => isExcluded);
  if (cut > 0) list.children[cut].before(make("li", "cut", cutLabel(record)));
  if (all.some(({ drawn }) => drawn !== undefined)) list.prepend(makeColumnHeads());
  return list;
}

const makeHint = () => make("p", "details", "Choose one to continue the text from here.");

const cutLabel = ({ settings, top }) =>
  top[0].length > 2 ? "Excluded by the filters:" : `Excluded by top-k ${settings.top_k}:`;

const makeColumnHeads = () =>
  make("li", "heads", make("span", "", "model"), make("span", "", "drawn"));

function makeAlternative(alternative, isCurrent, onChoose) {
  const { token, probability, drawn, isExcluded } = alternative;
  const fill = make("i");
  fill.style.width = `${probability * 100}%`;
  const button = makeButton(
    "",
    make("span", "glyph", glyph(token)),
    make("span", "bar-track", fill),
    make("span", "probability", percent(probability)),
    ...(drawn === undefined ? [] : [make("span", "probability", drawn ? percent(drawn) : "0%")]),
  );
  button.classList.toggle("current", isCurrent);
  button.classList.toggle("excluded", isExcluded);
  button.setAttribute("aria-label", alternativeLabel(alternative, isCurrent));
  button.title = "Continue from here";
  button.addEventListener("click", () => {
    hide();
    onChoose(token);
  });
  return button;
}

function alternativeLabel({ token, probability, drawn, isExcluded }, isCurrent) {
  const filter = drawn === undefined ? "top-k" : "the filters";
  const notes = [
    percent(probability),
    drawn && `drawn at ${percent(drawn)}`,
    isCurrent && "in the text",
    isExcluded && `excluded by ${filter}`,
  ];
  return `${spokenName(token)}, ${notes.filter(Boolean).join(", ")}: continue from here`;
}

function announcement(record) {
  const others = record.top.filter(([token]) => token !== record.token).slice(0, 3);
  const character = spokenPair(record.token, record.logprob);
  const alternatives = others.map(([token, logprob]) => spokenPair(token, logprob)).join(", ");
  return `${character}. Alternatives: ${alternatives}.`;
}

const spokenPair = (token, logprob) => `${spokenName(token)} ${percent(Math.exp(logprob))}`;

/** Places the panel at the side of a wide text, or else below or above its character. */
function placePanel() {
  const { left, top, bottom, width } = anchor.getClientRects()[0] ?? anchor.getBoundingClientRect();
  if (!isVisible(top, bottom)) return hide();
  const { scrollTop } = panel;
  const isBeside = WIDE_WINDOW.matches && sheet.offsetWidth >= WIDE_SHEET;
  panel.classList.toggle("beside", isBeside);
  if (isBeside) placeBeside();
  else placeAt(left + width / 2, top, bottom);
  panel.scrollTop = scrollTop; // the change of height may have reset it
}

/** Places the panel after the sheet, or over its right end if the window ends there. */
function placeBeside() {
  const bounds = sheet.getBoundingClientRect();
  panel.style.maxHeight = `${window.innerHeight - 2 * EDGE}px`;
  panel.style.left = `${maxLeft(bounds.right)}px`;
  const lowest = window.innerHeight - panel.offsetHeight - EDGE;
  panel.style.top = `${Math.max(EDGE, Math.min(bounds.top, lowest))}px`;
}

function placeAt(center, top, bottom) {
  const roomAbove = top - GAP - EDGE;
  const roomBelow = window.innerHeight - bottom - GAP - EDGE;
  panel.style.maxHeight = "";
  const isBelow = panel.offsetHeight <= roomBelow || roomBelow >= roomAbove;
  panel.style.maxHeight = `${Math.max(MIN_HEIGHT, isBelow ? roomBelow : roomAbove)}px`;
  const { offsetWidth, offsetHeight } = panel;
  panel.style.left = `${Math.max(EDGE, maxLeft(center - offsetWidth / 2))}px`;
  panel.style.top = `${isBelow ? bottom + GAP : Math.max(EDGE, top - GAP - offsetHeight)}px`;
}

/** A left edge, moved so far that the panel ends before the window does. */
const maxLeft = (left) =>
  Math.min(left, document.documentElement.clientWidth - panel.offsetWidth - EDGE);

/** Whether a vertical range is within the window and the sheet's visible part. */
function isVisible(top, bottom) {
  const bounds = sheet.getBoundingClientRect();
  return bottom >= Math.max(0, bounds.top) && top <= Math.min(bounds.bottom, window.innerHeight);
}

panel.addEventListener("pointerenter", () => clearTimeout(hideTimer));
panel.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideSoon());
panel.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...panel.querySelectorAll("button")];
  const next = buttons.indexOf(document.activeElement) + step;
  buttons[(next + buttons.length) % buttons.length].focus();
});
panel.addEventListener("focusout", ({ relatedTarget: next }) => {
  if (next && next !== sheet && !panel.contains(next)) hide();
});
document.addEventListener("pointerdown", (event) => {
  if (!panel.contains(event.target) && !event.target.closest?.(".c")) hide();
});
window.addEventListener("resize", hide);
document.addEventListener("scroll", ({ target }) => isOpen() && target !== panel && placePanel(), {
  capture: true,
  passive: true,
});
