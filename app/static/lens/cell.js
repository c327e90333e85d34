// A cell of the network, { layer, cell }, and what it tracks: { property, correlation } or, if it
// was found for a passage, { passage, correlation }.

/** Per property: its name, and where a cell that tracks it rises or falls. */
const PROPERTIES = {
  quotes: ["Quotation marks", "inside quotation marks"],
  brackets: ["Brackets", "inside brackets"],
  line_position: ["Position in the line", "along each line"],
  word_position: ["Position in the word", "along each word"],
  sentence_position: ["Position in the sentence", "along each sentence"],
  paragraph_position: ["Position in the paragraph", "along each paragraph"],
  indentation: ["Indentation", "with the indentation"],
  capitals: ["Capital letters", "at capital letters"],
  digits: ["Digits", "at digits"],
};

const WEAK = 0.3; // absolute correlation below which a cell hardly tracks a property

export const isWeak = ({ correlation }) => Math.abs(correlation) < WEAK;

/** The id of a cell in links and forms: "1:293". */
export const cellId = ({ layer, cell }) => `${layer}:${cell}`;

/** Whether both are the same cell; false if one of them is null. */
export const isSameCell = (one, other) => Boolean(one && other) && cellId(one) === cellId(other);

/** The cell with an id, or null if the text is no id. */
export function parseCell(text) {
  if (!/^\d{1,9}:\d{1,9}$/.test(text)) return null;
  const [layer, cell] = text.split(":").map(Number);
  return { layer, cell };
}

export const cellName = ({ layer, cell }) => `cell ${cell} of layer ${layer}`;

/** Formats a value or a correlation with its sign, and with a real minus sign. */
export const signed = (value, decimals = 2) => {
  const digits = Math.abs(value).toFixed(decimals);
  if (Number(digits) === 0) return digits;
  return (value < 0 ? "−" : "+") + digits;
};

/** Names a property. A checkpoint may know properties that this page does not. */
const propertyName = (property) =>
  PROPERTIES[property]?.[0] ?? property[0].toUpperCase() + property.slice(1).replaceAll("_", " ");

const propertyPlace = (property) =>
  PROPERTIES[property]?.[1] ?? `with the property ${propertyName(property)}`;

/** A correlation in parentheses, which no line break separates. */
const formatCorrelation = (correlation) => `(r\u00a0=\u00a0${signed(correlation)})`;

/** The name of a cell in a list: what it tracks, which cell it is, and how closely it does so. */
export function cellLabel(tracked) {
  const { property, correlation } = tracked;
  const name = cellName(tracked);
  const first = property
    ? `${propertyName(property)}: ${name}`
    : name[0].toUpperCase() + name.slice(1);
  return correlation === undefined ? first : `${first} ${formatCorrelation(correlation)}`;
}

/** A sentence that says what a cell does: "Cell 293 of layer 1 falls inside quotation marks." */
export function cellSentence(tracked) {
  const { property, passage, correlation } = tracked;
  const name = `Cell ${tracked.cell} of layer ${tracked.layer}`;
  if (correlation === undefined) return `Value of ${cellName(tracked)}.`;
  const degree = isWeak(tracked) ? "hardly " : "";
  const change = correlation < 0 ? "falls" : "rises";
  const place = passage ? "in the marked passage" : propertyPlace(property);
  return `${name} ${degree}${change} ${place} ${formatCorrelation(correlation)}.`;
}
