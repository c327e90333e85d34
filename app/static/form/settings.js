// The settings of a generation, as the strings that the fields hold, and as a request body.

import { FieldError } from "./field_errors.js";
import { describeHold, parseHold } from "./hold.js";
import { parseStops } from "./stop_strings.js";

/** The sampling settings, which can differ between compared texts. */
export const SAMPLING = {
  top_k: { label: "Top-k", placeholder: "all" },
  temperature: { label: "Temperature" },
  top_p: { label: "Top-p", placeholder: "off" },
  min_p: { label: "Min-p", placeholder: "off" },
  memory: { label: "Memory", type: "checkbox" },
};
export const SAMPLING_FIELDS = Object.keys(SAMPLING);

/** The fields of the main form. */
export const FIELDS = ["prime", "length", ...SAMPLING_FIELDS, "stop", "pattern", "seed"];

/** Stands for an input that the browser cannot parse as a number and therefore does not reveal. */
export const UNREADABLE = "?";

/** Picks a random seed, short enough to be read in its field. */
export const randomSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);

/**
 * Builds the body of a request. The seed stays a string of digits, see `toJSON` in json.js.
 * Throws a FieldError that names the invalid field.
 */
export function toRequestBody(settings) {
  const { model } = settings;
  const stop = parseStops(settings.stop);
  return {
    prime: settings.prime + settings.kept,
    length: parseInteger(settings, "length"),
    top_k: settings.top_k === "" ? null : parseInteger(settings, "top_k"),
    temperature: parseNumber(settings, "temperature"),
    ...(settings.top_p !== "" && { top_p: parseNumber(settings, "top_p") }),
    ...(settings.min_p !== "" && { min_p: parseNumber(settings, "min_p") }),
    ...(stop.length && { stop }),
    ...(settings.pattern && { pattern: settings.pattern }),
    ...(settings.memory && { memory: true }),
    ...(settings.hold && { hold: parseHold(settings.hold) }),
    seed: parseSeed(settings),
    ...(model && { model }),
  };
}

function parseInteger(settings, field) {
  const value = parseNumber(settings, field);
  if (!Number.isSafeInteger(value)) throw expected("a whole number", settings, field);
  return value;
}

function parseNumber(settings, field) {
  const text = settings[field].trim();
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) throw expected("a number", settings, field);
  return value;
}

function parseSeed(settings) {
  if (!/^\d{1,30}$/.test(settings.seed))
    throw expected("a whole number from 0 to 9223372036854775807", settings, "seed");
  return settings.seed;
}

function expected(kind, settings, field) {
  const text = settings[field].trim();
  const isShown = text !== "" && text !== UNREADABLE;
  return new FieldError(field, `Enter ${kind}${isShown ? ` instead of ${text}` : ""}`);
}

/** Describes sampling settings: "top-k 5, temperature 1". */
export function describeSampling({ top_k, temperature, top_p, min_p, memory, hold }) {
  const parts = [`top-k ${top_k || "all"}`, `temperature ${temperature}`];
  if (top_p) parts.push(`top-p ${top_p}`);
  if (min_p) parts.push(`min-p ${min_p}`);
  if (memory) parts.push("memory on");
  if (hold) parts.push(describeHold(hold));
  return parts.join(", ");
}
