// Problems: what is wrong with a field, in words beside it.

/** Takes away what a form said. */
export function clear(form) {
  for (const place of form.querySelectorAll(".problem")) place.replaceChildren();
  for (const field of form.querySelectorAll("[aria-invalid]"))
    field.removeAttribute("aria-invalid");
}

/**
 * Shows errors ({ field, message }) beside the fields of a form, and goes to the first.
 * Returns the fields' labels; errors of fields that the form lacks are left out.
 */
export function show(form, errors) {
  const fields = errors.flatMap(({ field, message }) => {
    const input = form.elements.namedItem(field);
    const place =
      input && document.getElementById(input.getAttribute("aria-describedby").split(" ").at(-1));
    if (!place) return [];
    place.textContent = sentence(message);
    input.setAttribute("aria-invalid", "true");
    return [input];
  });
  fields[0]?.focus();
  return fields.map((field) => field.labels[0].textContent.trim());
}

function sentence(message) {
  const plain = message.replace(/^Input should be/, "It should be");
  return plain[0].toUpperCase() + plain.slice(1) + (/[.!?]$/.test(plain) ? "" : ".");
}
