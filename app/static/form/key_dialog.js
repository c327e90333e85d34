// The dialog that asks for an API key.

const dialog = document.querySelector("#key-dialog");
const field = document.querySelector("#key");
const message = document.querySelector("#key-error");

let pending = null;

/**
 * Asks the user for a key. Resolves to the key, or to null if the user cancels.
 * Concurrent callers share one dialog. `wasRejected`: the server has rejected the previous key.
 */
export function askForKey(wasRejected) {
  pending ??= open(wasRejected).finally(() => {
    pending = null;
  });
  return pending;
}

function open(wasRejected) {
  showProblem(wasRejected ? "The server rejected this key. Enter another one." : "");
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const onClose = () => {
      restoreCaret();
      resolve(dialog.returnValue || null);
    };
    dialog.addEventListener("close", onClose, { once: true });
  });
}

/** Chromium gives a text field the focus back without its caret, so that keys type nothing. */
function restoreCaret() {
  const { activeElement } = document;
  activeElement.blur();
  activeElement.focus({ preventScroll: true });
}

/** Says what is wrong with the key, or "" if nothing is. */
function showProblem(problem) {
  message.textContent = problem;
  if (problem) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
}

function problemOf(key) {
  if (!key) return "Enter a key.";
  if (/^[\x21-\x7e]+$/.test(key)) return "";
  return "A key consists of letters, digits and punctuation, without spaces.";
}

document.querySelector("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = field.value.trim();
  const problem = problemOf(key);
  showProblem(problem);
  if (problem) field.focus();
  else dialog.close(key);
});
document.querySelector("#key-cancel").addEventListener("click", () => dialog.close(""));
