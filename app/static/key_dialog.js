// KeyDialog: asks for the key of a server that wants one.

const dialog = document.querySelector("#key-dialog");
const field = document.querySelector("#key");
const problem = document.querySelector("#key-error");

let asking = null;

/** The key that is entered, or null; asked once, however many want it. */
export function askForKey(wasWrong) {
  asking ??= open(wasWrong).finally(() => {
    asking = null;
  });
  return asking;
}

function open(wasWrong) {
  problem.textContent = wasWrong ? "The server does not know this key." : "";
  field.toggleAttribute("aria-invalid", wasWrong);
  if (wasWrong) field.setAttribute("aria-invalid", "true");
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
  else problem.textContent = "A key is made of letters, digits and signs, without spaces.";
});
document.querySelector("#key-cancel").addEventListener("click", () => dialog.close(""));
