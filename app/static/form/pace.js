// The pace at which the page shows the characters that it has received. The browser remembers it.

const STORAGE_KEY = "charstream-pace";

/** Characters per second. People read novels silently at about 260 words per minute. */
const RATES = { slow: 5, reading: 25, instant: Infinity };

const select = document.querySelector("#pace");

/** The name of the pace: "slow", "reading" or "instant". */
export const name = () => select.value;

/** Characters per second. */
export const rate = () => RATES[select.value];

export const isPaced = () => rate() < Infinity;

/**
 * Sets the pace that a link asks for. Ignores unknown names. People who prefer reduced motion see
 * moving text only if they choose it themselves.
 */
export function setFromLink(linked) {
  const isReduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (Object.hasOwn(RATES, linked) && !isReduced) select.value = linked;
}

/** Calls `callback()` when the user changes the pace. */
export function onChange(callback) {
  select.addEventListener("change", callback);
}

function stored() {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null; // the browser blocks storage
  }
}

function store() {
  try {
    localStorage.setItem(STORAGE_KEY, name());
  } catch {
    // The browser blocks storage: the pace is only kept in the link.
  }
}

select.value = Object.hasOwn(RATES, stored() ?? "") ? stored() : "instant";
select.addEventListener("change", store);
