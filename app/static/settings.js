// Settings: what a text depends on, as the strings that fields hold; and as the server wants it.

export const SAMPLING = ["top_k", "temperature", "top_p"];

/** Stands for what somebody typed that is no number. */
export const UNREADABLE = "?";

/** A value that cannot even be sent, and why. */
export class Problem extends Error {
  constructor(field, message) {
    super(message);
    this.errors = [{ field, message }];
  }
}

/** A seed that nobody has chosen. */
export const rolledSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0]);

/** The body of a request. Throws a Problem that names the field. */
export function bodyOf(settings) {
  const body = {
    prime: settings.prime + settings.kept,
    length: whole(settings, "length"),
    top_k: settings.top_k === "" ? null : whole(settings, "top_k"),
    temperature: number(settings, "temperature"),
    top_p: settings.top_p === "" ? null : number(settings, "top_p"),
    seed: seedOf(settings),
  };
  return settings.model ? { ...body, model: settings.model } : body;
}

function whole(settings, field) {
  const value = number(settings, field);
  if (!Number.isSafeInteger(value))
    throw new Problem(field, `a whole number was expected${got(settings[field])}`);
  return value;
}

function number(settings, field) {
  const text = settings[field].trim();
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) {
    throw new Problem(field, `a number was expected${got(text)}`);
  }
  return value;
}

function seedOf(settings) {
  if (!/^\d{1,30}$/.test(settings.seed)) {
    throw new Problem(
      "seed",
      `a whole number from 0 to 9223372036854775807 was expected${got(settings.seed)}`,
    );
  }
  return settings.seed;
}

const got = (text) => (text === "" || text === UNREADABLE ? "" : `, got ${text}`);

/** Sampling settings in words. */
export function inWords({ top_k, temperature, top_p }) {
  const parts = [`top-k ${top_k || "all"}`, `temperature ${temperature}`];
  if (top_p) parts.push(`top-p ${top_p}`);
  return parts.join(", ");
}
