// Explains errors to the user: beside the fields that caused them, and in a status line.

import { clearErrors, showErrors } from "./field_errors.js";
import { form } from "./form.js";
import { readCard } from "./model_card.js";
import { readModels } from "./model_choice.js";
import { SAMPLING_FIELDS } from "./settings.js";
import { explain } from "../ui/shown_error.js";
import { replaceUnknownCharacters } from "./unknown_characters.js";

const OTHER_MODEL =
  "This was made with another model. The model that is loaded now gives different results.";

/**
 * Shows an error in the first of the forms that has the invalid fields, and in a status line.
 *
 * Options: `retry`, the remedy [label, function] if another model is loaded; `onReplaced()`, called
 * after the user had unknown characters replaced; `letter`, that of the column whose text failed,
 * or "" if there is only one.
 */
export function showError(error, forms, statusLine, { retry, onReplaced, letter }) {
  const labels = forms.reduce(
    (found, each) => (found.length ? found : showErrors(each, error.errors ?? [])),
    [],
  );
  if (["other_model", "unknown_model"].includes(error.code)) {
    readCard({ quietly: true });
    readModels().then((isOther) => isOther && readCard({ quietly: true }));
    statusLine.show(OTHER_MODEL, { isError: true, remedy: retry });
  } else if (labels.length) {
    const isOwn = letter && error.errors.every(({ field }) => SAMPLING_FIELDS.includes(field));
    const message = `Invalid input${isOwn ? ` for ${letter}` : ""}: check ${labels.join(" and ")}.`;
    const remedy = replacementRemedy(error, statusLine, onReplaced);
    statusLine.show(message, { isError: true, remedy });
  } else {
    statusLine.show(explain(error), { isError: true });
  }
}

/** A remedy that replaces unknown characters, or null for other errors. */
function replacementRemedy(error, statusLine, onReplaced) {
  if (error.code !== "unknown_character") return null;
  const isPassage = error.errors[0].field === "text";
  const field = document.querySelector(isPassage ? "#passage" : "#prime");
  const replace = async () => {
    // The placeholder for rare characters can be part of a prime, but it has no score.
    const options = { allowPlaceholder: !isPassage };
    if (!(await replaceUnknownCharacters(field, error.model, options))) return;
    field.focus();
    clearErrors(field.form);
    statusLine.show("Ready.");
    onReplaced?.();
  };
  return ["Replace or remove them", replace];
}

/** Removes the errors from the main form and from the columns. */
export const clearAllErrors = (columns) =>
  [form, ...columns.map((column) => column.form)].forEach(clearErrors);
