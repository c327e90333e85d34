// A chart of a lens's values along a text, updated while the text grows.

const MARGIN_LEFT = 40; // pixels for the labels of the scale
const MARGIN = 6; // pixels above the highest value, and below a negative one
const LINE_WIDTH = 1.5; // pixels
const BAR_OPACITY = 0.35; // of smoothed curves, whose bars are behind them

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.curve = null;
    this.records = [];
    this.highlighted = null;
    this.listeners = new AbortController();
    new ResizeObserver(() => this.draw()).observe(canvas);
    const { signal } = this.listeners;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), {
      signal,
    });
  }

  /** Removes the listeners. Call it when the canvas is removed from the page. */
  dispose() {
    this.listeners.abort();
  }

  /** Draws the values of a curve, see surprisal_lens.js. */
  show(records, curve) {
    this.records = records;
    this.curve = curve;
    this.draw();
  }

  /** Highlights the character at an index, or none if the index is null. */
  highlight(index) {
    if (this.highlighted === index) return;
    this.highlighted = index;
    this.draw();
  }

  /** The index of the character at x pixels from the canvas's left edge. */
  indexAt(x) {
    const fraction = (x - MARGIN_LEFT) / (this.canvas.clientWidth - MARGIN_LEFT);
    const index = Math.floor(fraction * this.records.length);
    return Math.max(0, Math.min(this.records.length - 1, index));
  }

  draw() {
    const { canvas, records, curve } = this;
    const width = canvas.clientWidth - MARGIN_LEFT;
    const height = canvas.clientHeight;
    if (width <= 0 || !records.length) return;
    const context = prepareContext(canvas);
    const style = getComputedStyle(canvas);
    const means = meanValues(records, Math.min(Math.floor(width / 2), records.length), curve);
    const { low, high, ticks } = curve.scaleOf(means);
    const bottom = height - (low < 0 ? MARGIN : 1); // a label at the bottom needs room
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - MARGIN);
    drawScale(context, { width, ticks, y, style });
    context.translate(MARGIN_LEFT, 0);
    context.globalAlpha = curve.isSmoothed ? BAR_OPACITY : 1;
    drawBars(context, means, width, y, (value) => style.getPropertyValue(curve.colorOf(value)));
    context.globalAlpha = 1;
    drawCurve(context, curve.isSmoothed ? movingAverage(means) : means, width, y, style);
    this.#drawHighlight(context, width, height, style);
  }

  #drawHighlight(context, width, height, style) {
    if (this.highlighted === null) return;
    const step = width / this.records.length;
    context.fillStyle = style.getPropertyValue("--s6");
    context.fillRect(this.highlighted * step, 0, Math.max(2, step), height);
  }
}

function prepareContext(canvas) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(canvas.clientHeight * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return context;
}

function drawScale(context, { width, ticks, y, style }) {
  context.fillStyle = style.color;
  context.strokeStyle = style.getPropertyValue("--line");
  context.font = `11px ${style.fontFamily}`;
  context.textBaseline = "middle";
  for (const [value, label] of ticks) {
    context.beginPath();
    context.moveTo(MARGIN_LEFT, y(value));
    context.lineTo(MARGIN_LEFT + width, y(value));
    context.stroke();
    context.fillText(label, 0, y(value));
  }
}

function drawBars(context, values, width, y, colorOf) {
  const step = width / values.length;
  const barWidth = Math.max(1, step - (step > 3 ? 1 : 0));
  values.forEach((value, index) => {
    context.fillStyle = colorOf(value);
    const top = Math.min(y(value), y(0));
    context.fillRect(index * step, top, barWidth, Math.abs(y(value) - y(0)));
  });
}

function drawCurve(context, values, width, y, style) {
  const step = width / values.length;
  context.strokeStyle = style.getPropertyValue("--accent");
  context.lineWidth = LINE_WIDTH;
  context.lineJoin = "round";
  context.beginPath();
  values.forEach((value, index) => context.lineTo((index + 0.5) * step, y(value)));
  context.stroke();
}

/** The mean of each value and its neighbors, in a window of about a thirtieth of the values. */
function movingAverage(values) {
  const radius = Math.max(1, Math.round(values.length / 60));
  const sums = [0];
  for (const value of values) sums.push(sums.at(-1) + value);
  return values.map((_, index) => {
    const start = Math.max(0, index - radius);
    const end = Math.min(values.length, index + radius + 1);
    return (sums[end] - sums[start]) / (end - start);
  });
}

/** The mean value of each of `count` equal parts of a text; 0 for a part without values. */
function meanValues(records, count, { valueOf }) {
  const sums = new Float64Array(count);
  const counts = new Uint32Array(count);
  records.forEach((record, index) => {
    const value = valueOf(record, index);
    if (value === undefined) return;
    const part = Math.floor((index * count) / records.length);
    sums[part] += value;
    counts[part] += 1;
  });
  return Array.from(sums, (sum, part) => (counts[part] ? sum / counts[part] : 0));
}
