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
  message.textContent = wasRejected ? "The server rejected this key. Enter another one." : "";
  if (wasRejected) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue || null), { once: true });
  });
}

document.querySelector("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = field.value.trim();
  if (/^[\x21-\x7e]+$/.test(key)) dialog.close(key);
  else message.textContent = "A key consists of letters, digits and punctuation, without spaces.";
});
document.querySelector("#key-cancel").addEventListener("click", () => dialog.close(""));
