// Messages that only screen readers read out.

import { byId } from "./dom.js";

/** Lets screen readers read out a message once. */
export function announce(message) {
  byId("announcer").textContent = message;
}
