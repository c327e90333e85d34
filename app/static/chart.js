// Chart: the entropy along a text, how open each choice was, drawn as it grows.

import { bits } from "./surprise.js";

const LEAST_TOP = 4; // bits, so that a calm text looks calm
const GUTTER = 40; // pixels at the left, for the scale's words
const HEADROOM = 6;

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.records = [];
    this.here = null;
    this.end = new AbortController();
    new ResizeObserver(() => this.draw()).observe(canvas);
    const { signal } = this.end;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), {
      signal,
    });
  }

  /** Lets go of the page, from which it has been taken away. */
  leave() {
    this.end.abort();
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
    const share = (x - GUTTER) / (this.canvas.clientWidth - GUTTER);
    return Math.max(0, Math.min(this.records.length - 1, Math.floor(share * this.records.length)));
  }

  draw() {
    const { canvas, records } = this;
    const width = canvas.clientWidth - GUTTER;
    const height = canvas.clientHeight;
    if (width <= 0 || !records.length) return;
    const pen = penOf(canvas);
    const style = getComputedStyle(canvas);
    const columns = means(records, Math.min(Math.floor(width / 2), records.length));
    const top = Math.max(LEAST_TOP, ...columns);
    const y = (value) => height - 1 - (value / top) * (height - HEADROOM - 1);
    scale(pen, width, top, y, style);
    pen.translate(GUTTER, 0);
    bars(pen, columns, width, height, y, style);
    curve(pen, smoothed(columns), width, y, style);
    if (this.here === null) return;
    const step = width / records.length;
    pen.fillStyle = style.getPropertyValue("--s6");
    pen.fillRect(this.here * step, 0, Math.max(2, step), height);
  }
}

function penOf(canvas) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(canvas.clientHeight * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return pen;
}

function scale(pen, width, top, y, style) {
  pen.fillStyle = style.color;
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.font = `11px ${style.fontFamily}`;
  pen.textBaseline = "middle";
  for (let value = 0; value <= top; value += 2) {
    pen.beginPath();
    pen.moveTo(GUTTER, y(value));
    pen.lineTo(GUTTER + width, y(value));
    pen.stroke();
    if (value) pen.fillText(`${value} bits`, 0, y(value));
  }
}

function bars(pen, columns, width, height, y, style) {
  const step = width / columns.length;
  pen.fillStyle = style.getPropertyValue("--accent");
  pen.globalAlpha = 0.3;
  columns.forEach((value, place) => {
    pen.fillRect(place * step, y(value), Math.max(1, step - (step > 3 ? 1 : 0)), height - y(value));
  });
  pen.globalAlpha = 1;
}

function curve(pen, values, width, y, style) {
  const step = width / values.length;
  pen.strokeStyle = style.getPropertyValue("--accent");
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  pen.beginPath();
  values.forEach((value, place) => pen.lineTo((place + 0.5) * step, y(value)));
  pen.stroke();
}

/** Each value's mean with its neighbours. */
function smoothed(values) {
  const reach = Math.max(1, Math.round(values.length / 60));
  const sums = [0];
  for (const value of values) sums.push(sums.at(-1) + value);
  return values.map((_, place) => {
    const start = Math.max(0, place - reach);
    const end = Math.min(values.length, place + reach + 1);
    return (sums[end] - sums[start]) / (end - start);
  });
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
