// Helpers that find and create DOM elements.

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

/** Creates an element. `content` holds child elements and strings. */
export function make(tag, className = "", ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** Creates a button that does not submit the form around it. */
export function makeButton(className, ...content) {
  const button = make("button", className, ...content);
  button.type = "button";
  return button;
}

/** The field of a form with a name. `form.elements` would also find ids, such as the Stop button. */
export const namedField = (form, name) => form.querySelector(`[name="${name}"]`);

/** Creates a term and its value for a definition list. */
export const makeEntry = (term, value) =>
  make("div", "", make("dt", "", term), make("dd", "", value));
