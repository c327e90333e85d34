// Positions in a text's DOM nodes, and the characters at them.

/** The number of characters of a string, which counts pairs of UTF-16 surrogates once. */
export function characterCount(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** The text node and the offset at a point of the window, or null. */
export function caretAt(x, y) {
  if (document.caretPositionFromPoint) {
    const position = document.caretPositionFromPoint(x, y);
    return position && { node: position.offsetNode, offset: position.offset };
  }
  const range = document.caretRangeFromPoint?.(x, y); // Safari
  return range ? { node: range.startContainer, offset: range.startOffset } : null;
}

/** Whether a point is on the characters of a range. */
export const isInside = (range, x, y) =>
  Array.from(range.getClientRects()).some(
    ({ left, right, top, bottom }) => x >= left && x <= right && y >= top && y <= bottom,
  );

/** The span [from, to), in characters, of what is selected of an element's text, or null. */
export function selectedSpan(element) {
  const selection = getSelection();
  if (selection.rangeCount === 0 || selection.isCollapsed) return null;
  const selected = selection.getRangeAt(0);
  if (!selected.intersectsNode(element)) return null;
  const part = document.createRange();
  part.selectNodeContents(element);
  const before = part.cloneRange();
  if (selected.compareBoundaryPoints(Range.START_TO_START, part) > 0)
    part.setStart(selected.startContainer, selected.startOffset);
  if (selected.compareBoundaryPoints(Range.END_TO_END, part) < 0)
    part.setEnd(selected.endContainer, selected.endOffset);
  before.setEnd(part.startContainer, part.startOffset);
  const from = characterCount(before.toString());
  const to = from + characterCount(part.toString());
  return to > from ? [from, to] : null;
}

/** The index of the character that ends the next word (sign 1), or begins the one before (-1). */
export function wordTarget(records, index, sign) {
  const isSpace = (at) => records[at] !== undefined && records[at].token.trim() === "";
  let at = index + sign;
  while (isSpace(at)) at += sign;
  while (records[at + sign] && !isSpace(at + sign)) at += sign;
  return at;
}
