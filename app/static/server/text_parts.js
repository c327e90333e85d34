// A long text is sent in parts, so that the page can report progress. The text before a part is the
// prime of the part.

import { isRefused, requestJSON } from "./api.js";
import { ShownError } from "../ui/shown_error.js";

export const PART = 20_000; // characters

/** A text, or what precedes one of its parts, is longer than the server reads. */
export class TooLongError extends ShownError {
  constructor(cause) {
    super("This text is too long for this server. Choose a shorter one.", { cause });
  }
}

/** The length of the longest text that a server with this limit for primes and texts reads. */
export const longestText = (maxPrime) =>
  maxPrime < PART ? maxPrime : (Math.floor(maxPrime / PART) + 1) * PART;

/** The body of a request about the characters of a text from one index to another. */
export function partBody({ prime, tokens, model }, start, end) {
  const context = prime + tokens.slice(0, start).join("");
  return {
    text: tokens.slice(start, end).join(""),
    ...(context && { prime: context }),
    ...(model && { model }),
  };
}

/** Requests JSON about a part of a text. Throws a TooLongError if the server reads no such text. */
export async function requestPart(path, body, options) {
  try {
    return await requestJSON(path, body, options);
  } catch (error) {
    throw isRefused(error, "prime", "text") ? new TooLongError(error) : error;
  }
}
