// Chart: the entropy along a text, how open each choice was, drawn as it grows.

import { bits } from "./surprise.js";

const LEAST_TOP = 4; // bits, so that a calm text looks calm

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.records = [];
    this.here = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(records) {
    this.records = records;
    this.draw();
  }

  /** Marks a place in the text; null marks none. */
  point(place) {
    if (this.here === place) return;
    this.here = place;
    this.draw();
  }

  /** The place in the text at a distance from the left edge, in pixels. */
  placeAt(x) {
    return Math.min(this.records.length - 1, Math.floor((x / this.canvas.clientWidth) * this.records.length));
  }

  draw() {
    const { canvas, records } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !records.length) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const columns = means(records, Math.min(Math.floor(width / 2), records.length));
    const top = Math.max(LEAST_TOP, ...columns);
    const y = (value) => height - 1 - (value / top) * (height - 12);
    lines(pen, width, top, y, style);
    pen.fillStyle = style.getPropertyValue("--accent");
    const step = width / columns.length;
    columns.forEach((value, place) => {
      pen.fillRect(place * step, y(value), Math.max(1, step - (step > 3 ? 1 : 0)), height - y(value));
    });
    this.#mark(pen, width, height, style);
  }

  #mark(pen, width, height, style) {
    if (this.here === null) return;
    pen.fillStyle = style.getPropertyValue("--s6");
    const step = width / this.records.length;
    pen.fillRect(this.here * step, 0, Math.max(2, step), height);
  }
}

function lines(pen, width, top, y, style) {
  pen.fillStyle = style.color;
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.font = `11px ${style.fontFamily}`;
  for (let value = 2; value <= top; value += 2) {
    pen.beginPath();
    pen.moveTo(0, y(value));
    pen.lineTo(width, y(value));
    pen.stroke();
    pen.fillText(value === 2 ? "2 bits" : String(value), 2, y(value) - 3);
  }
}

/** Mean entropies, in bits, of so many stretches of a text; 0 where it has no scores. */
function means(records, count) {
  const sums = new Float64Array(count);
  const counts = new Uint32Array(count);
  records.forEach((record, place) => {
    if (record.entropy === undefined) return;
    const column = Math.floor((place * count) / records.length);
    sums[column] += record.entropy;
    counts[column] += 1;
  });
  return Array.from(sums, (sum, column) => (counts[column] ? bits(sum / counts[column]) : 0));
}
