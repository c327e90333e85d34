// Validation errors, shown beside the fields of a form.

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
    const input = form.elements.namedItem(field);
    const element = input && errorElement(input);
    if (!element) return [];
    element.textContent = toSentence(message);
    input.setAttribute("aria-invalid", "true");
    return [input];
  });
  fields[0]?.focus();
  return fields.map((field) => field.labels[0].textContent.trim());
}

/** The element for a field's error is the last one that describes the field. */
const errorElement = (input) =>
  document.getElementById(input.getAttribute("aria-describedby").split(" ").at(-1));

function toSentence(message) {
  const text = message.replace(/^Input should be/, "The value must be");
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
