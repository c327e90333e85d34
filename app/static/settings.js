// The settings of a generation, as the strings that the fields hold, and as a request body.

export const SAMPLING_FIELDS = ["top_k", "temperature", "top_p"];

/** Stands for an input that the browser cannot parse as a number and therefore does not reveal. */
export const UNREADABLE = "?";

/** A field's value that the page rejects before it sends the request. */
export class FieldError extends Error {
  constructor(field, message) {
    super(message);
    this.errors = [{ field, message }];
  }
}

/** Picks a random seed. */
export const randomSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0]);

/** Builds the body of a request. Throws a FieldError that names the invalid field. */
export function toRequestBody(settings) {
  const body = {
    prime: settings.prime + settings.kept,
    length: parseInteger(settings, "length"),
    top_k: settings.top_k === "" ? null : parseInteger(settings, "top_k"),
    temperature: parseNumber(settings, "temperature"),
    top_p: settings.top_p === "" ? null : parseNumber(settings, "top_p"),
    seed: parseSeed(settings),
  };
  return settings.model ? { ...body, model: settings.model } : body;
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

/** Describes sampling settings: "top-k 5, temperature 0.8". */
export function describeSampling({ top_k, temperature, top_p }) {
  const parts = [`top-k ${top_k || "all"}`, `temperature ${temperature}`];
  if (top_p) parts.push(`top-p ${top_p}`);
  return parts.join(", ");
}
