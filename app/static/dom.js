// DOM: elements, made in one line.

/** An element; `content` is elements and texts. */
export function make(name, className = "", ...content) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** A name and its value, for a definition list. */
export const pair = (name, value) => make("div", "", make("dt", "", name), make("dd", "", value));
