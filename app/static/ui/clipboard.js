// Copies text to the clipboard.

const FORBIDDEN =
  "The browser does not allow this page to use the clipboard. Copy by hand instead.";

/** Copies text, and shows in a status line whether that worked. `label` says what was copied. */
export async function copyAndReport(text, label, statusLine) {
  if (await copy(text)) statusLine.show(`${label} copied.`);
  else statusLine.show(FORBIDDEN, { isError: true });
}

/** Copies text. Returns whether the browser allowed it. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyWithSelection(text);
  }
}

/** Copies through a selected text area: `navigator.clipboard` only exists on secure origins. */
function copyWithSelection(text) {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.className = "visually-hidden";
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return isCopied;
}
