// Names of characters that are invisible, or that a screen reader would not pronounce.

const GLYPHS = new Map([
  [" ", "␣"],
  ["\n", "↵"],
  ["\t", "⇥"],
  ["\r", "␍"],
]);
const NAMES = new Map([
  [" ", "space"],
  ["\n", "new line"],
  ["\t", "tab"],
  ["\r", "carriage return"],
]);

/** A visible form of a character. */
export const glyph = (character) => GLYPHS.get(character) ?? character;

/** A form of a character that a screen reader can pronounce. */
export const spokenName = (character) => NAMES.get(character) ?? character;
