// Validation errors, shown beside the fields of a form.

import { namedField } from "../ui/dom.js";
import { ShownError, toSentence } from "../ui/shown_error.js";

/** A field's value that the page rejects before it sends the request. */
export class FieldError extends ShownError {
  constructor(field, message) {
    super(message);
    this.errors = [{ field, message }];
  }
}

/** Removes the errors from a form. */
export function clearErrors(form) {
  for (const element of form.querySelectorAll(".field-error")) element.replaceChildren();
  for (const field of form.querySelectorAll("[aria-invalid]"))
    field.removeAttribute("aria-invalid");
}

/**
 * Shows errors ({ field, message }) beside the fields of a form, and focuses the first field.
 * Ignores errors of fields that the form does not have. Returns the labels of the fields.
 */
export function showErrors(form, errors) {
  const fields = errors.flatMap(({ field, message }) => {
    const [name] = field.split("."); // an element of a list has a position: stop.0
    const input = namedField(form, name);
    const element = input && errorElement(input);
    if (!element) return [];
    element.textContent = toSentence(withSubject(message, labelOf(input)));
    input.setAttribute("aria-invalid", "true");
    input.closest("details")?.setAttribute("open", "");
    return [input];
  });
  fields[0]?.focus();
  return fields.map(labelOf);
}

/** The element for a field's error is the last one that describes the field. */
const errorElement = (input) =>
  document.getElementById(input.getAttribute("aria-describedby").split(" ").at(-1));

/** The label of a field or, if it is one of several to choose from, of the choice. */
const labelOf = (field) =>
  (field.closest("fieldset")?.querySelector("legend") ?? field.labels[0]).textContent.trim();

/** Adds the subject that a message of the server may lack: the name of the field. */
const withSubject = (message, label) =>
  message
    .replace(/^Input should be/, "The value must be")
    .replace(/^(has|is|must|needs) /, `${label} $&`);
