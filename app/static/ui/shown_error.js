// Errors whose messages are written for the user. Any other error is a mistake in this page.

const KEY_REQUIRED = "This server requires an API key. Try again and enter one.";
const UNEXPECTED = "An unexpected error occurred. Reload the page and try again.";

export class ShownError extends Error {}

/** Completes a message to a sentence: with a capital letter and a full stop. */
export const toSentence = (message) =>
  message.charAt(0).toUpperCase() + message.slice(1) + (/[.!?]$/.test(message) ? "" : ".");

/** What to tell the user about an error. Logs those that are mistakes in this page. */
export function explain(error) {
  if (error.status === 401) return KEY_REQUIRED;
  if (error instanceof ShownError) return toSentence(error.message);
  console.error(error);
  return UNEXPECTED;
}
