// Alternatives: what a character might have been, in a small panel beside it.

import { make } from "./dom.js";
import { inWords } from "./settings.js";
import { bits, glyph, percent, spoken, surprise } from "./surprise.js";

const panel = document.querySelector("#alternatives");
const announcer = document.querySelector("#announcer");
const GAP = 2; // pixels from the character to the panel, small enough for a pointer to cross
const EDGE = 8; // pixels to the window's edges
const LEAST = 96; // pixels of the panel, which scrolls where there is no more room
const PATIENCE = 250; // milliseconds that a pointer may be outside of both

let leave = 0;
let back = null; // where the focus goes when the panel is closed by key
let onHide = () => {};
let anchor = null; // the character

/** Whether the panel is open. */
export const isOpen = () => !panel.hidden;

/**
 * Shows a record's alternatives beside an element.
 * Options: choose(token), sheet (what had the focus), announce (say it), hidden() when it closes.
 */
export function show(element, record, { choose, sheet, announce, hidden }) {
  clearTimeout(leave);
  if (onHide !== hidden) onHide();
  onHide = hidden;
  back = sheet;
  panel.replaceChildren(...heading(record), list(record, choose));
  panel.hidden = false;
  anchor = element;
  place();
  if (announce) announcer.textContent = sentence(record);
}

export function hide() {
  clearTimeout(leave);
  if (panel.hidden) return;
  const hadFocus = panel.contains(document.activeElement);
  panel.hidden = true;
  onHide();
  onHide = () => {};
  if (hadFocus) back?.focus({ preventScroll: true });
}

/** Hides it soon, unless the pointer gets there first. */
export function hideSoon() {
  clearTimeout(leave);
  leave = setTimeout(hide, PATIENCE);
}

/** Goes in, by keyboard. */
export function enter() {
  panel.querySelector("button")?.focus();
}

function heading(record) {
  const name = make("strong", "", glyph(record.token));
  const share = make("b", "", percent(Math.exp(record.logprob)));
  const said = lines(record).flatMap((line) => [line, make("br")]);
  return [make("p", "title", name, share), make("p", "said", ...said)];
}

function lines(record) {
  const first = `${ordinal(record.rank)} likeliest; ${surprise(record).toFixed(1)} bits of surprise`;
  const open = `Before it, ${bits(record.entropy).toFixed(1)} bits were open`;
  if (record.chosen) return [first, open, "You chose it"];
  if (record.probability === undefined) return [first, open];
  return [first, open, `Drawn at ${percent(record.probability)} by ${inWords(record.settings)}`];
}

function list(record, choose) {
  const kept = Number(record.settings?.top_k || Infinity);
  const items = record.top.map(([token, logprob], place) => {
    const taken = token === record.token;
    const button = alternative(token, Math.exp(logprob), taken, place >= kept, choose);
    return make("li", "", button);
  });
  if (kept < items.length)
    items.splice(kept, 0, make("li", "cut", `Top-k ${kept} leaves these out:`));
  return make("ul", "", ...items);
}

function alternative(token, share, taken, isLeftOut, choose) {
  const filled = make("i");
  filled.style.width = `${share * 100}%`;
  const button = make(
    "button",
    "",
    make("span", "glyph", glyph(token)),
    make("span", "share", filled),
    make("span", "figure", percent(share)),
  );
  button.type = "button";
  button.classList.toggle("taken", taken);
  button.classList.toggle("left-out", isLeftOut);
  const how = (taken ? ", as it is" : "") + (isLeftOut ? ", left out by top-k" : "");
  button.setAttribute("aria-label", `${spoken(token)}, ${percent(share)}${how}: go on from here`);
  button.title = "Go on from here";
  button.addEventListener("click", () => {
    hide();
    choose(token);
  });
  return button;
}

function sentence(record) {
  const others = record.top.filter(([token]) => token !== record.token).slice(0, 3);
  const named = others.map(([token, logprob]) => `${spoken(token)} ${percent(Math.exp(logprob))}`);
  return `${spoken(record.token)}, ${percent(Math.exp(record.logprob))}. Or: ${named.join(", ")}.`;
}

function ordinal(rank) {
  if (rank === 1) return "The";
  const tail =
    rank % 100 > 10 && rank % 100 < 14 ? "th" : (["th", "st", "nd", "rd"][rank % 10] ?? "th");
  return `${rank}${tail}`;
}

function place() {
  const { left, top, bottom, width } = anchor.getClientRects()[0] ?? anchor.getBoundingClientRect();
  const sheet = back.getBoundingClientRect();
  const isInSight = bottom >= Math.max(0, sheet.top) && top <= Math.min(sheet.bottom, innerHeight);
  if (!isInSight) return hide();
  const { scrollTop } = panel;
  const above = top - GAP - EDGE;
  const beneath = window.innerHeight - bottom - GAP - EDGE;
  panel.style.maxHeight = "";
  const isBeneath = panel.offsetHeight <= beneath || beneath >= above;
  panel.style.maxHeight = `${Math.max(LEAST, isBeneath ? beneath : above)}px`;
  const { offsetWidth, offsetHeight } = panel;
  const room = document.documentElement.clientWidth - offsetWidth - EDGE;
  panel.style.left = `${Math.max(EDGE, Math.min(room, left + width / 2 - offsetWidth / 2))}px`;
  panel.scrollTop = scrollTop;
  panel.style.top = `${isBeneath ? bottom + GAP : Math.max(EDGE, top - GAP - offsetHeight)}px`;
}

panel.addEventListener("pointerenter", () => clearTimeout(leave));
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
  if (next && next !== back && !panel.contains(next)) hide();
});
document.addEventListener("pointerdown", (event) => {
  if (!panel.contains(event.target) && !event.target.closest?.(".c")) hide();
});
window.addEventListener("resize", hide);
document.addEventListener("scroll", ({ target }) => isOpen() && target !== panel && place(), {
  capture: true,
  passive: true,
});
