// Graphs of what changes: one line a series, the newest value on the right.

import { draw, make, say, set } from "./dom.js";

const HEIGHT = 144;
const LEFT = 78;
const BOTTOM = 18;
const TOP = 6;
const LINES = 4;
const FIRST_SPAN = 60;

/** The smallest of 1, 2, 4, 8, 10, 20 … that is not below a value. */
export function roof(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

/** A graph of the last `length` values of some series. format: how a value is written. */
export class Graph {
  constructor(title, names, format, length) {
    this.names = names;
    this.format = format;
    this.length = length;
    this.values = names.map(() => []);
    this.now = names.map(() => make("b"));
    this.paths = names.map((_, number) => draw("path", { class: `series series-${number}` }));
    this.area = draw("path", { class: "area" });
    this.ticks = [];
    const keys = names.map((name, number) =>
      make("span", { class: "key" }, this.#sample(number), `${name} `, this.now[number]));
    this.width = 600;
    this.picture = draw("svg", { role: "img", "aria-label": title });
    for (let line = 0; line <= LINES; line += 1) this.picture.append(...this.#gridLine(line));
    this.picture.append(this.area, ...this.paths);
    new ResizeObserver(() => this.#fit()).observe(this.picture);
    this.element = make("figure", {}, make("figcaption", {}, make("strong", {}, title), ...keys), this.picture);
    this.title = title;
  }

  #sample(number) {
    const line = draw("path", { class: `series series-${number}`, d: "M0 5H26" });
    return draw("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, line);
  }

  #gridLine(line) {
    const y = this.#y(line / LINES);
    const tick = draw("text", { class: "tick", x: LEFT - 6, y: y + 4, "text-anchor": "end", "aria-hidden": "true" });
    const rule = draw("path", { class: "grid", d: `M${LEFT} ${y}H9999` });
    this.ticks.push(tick);
    return [rule, tick];
  }

  #fit() {
    this.width = Math.max(this.picture.clientWidth, LEFT + 100);
    set(this.picture, "viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.#draw();
  }

  /** Close a line down to zero. */
  #closed(line) {
    const first = line.slice(1).split(" ")[0];
    return line.includes("M", 1) ? "" : `${line}V${this.#y(0)}H${first}Z`;
  }

  #y(part) {
    return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP);
  }

  /** Take one value more of each series; null: not known, and the line has a gap. */
  push(values) {
    values.forEach((value, number) => {
      const series = this.values[number];
      series.push(value);
      if (series.length > this.length) series.shift();
      say(this.now[number], value === null ? "–" : this.format(value));
    });
    this.#draw();
  }

  /** Leave a gap of so many values. */
  skip(count) {
    for (const series of this.values) {
      series.push(...Array(count).fill(null));
      series.splice(0, series.length - this.length);
    }
  }

  #draw() {
    const highest = roof(Math.max(0, ...this.values.flat().filter((value) => value !== null)));
    this.ticks.forEach((tick, line) => say(tick, line === 0 ? "0" : this.format((highest * line) / LINES)));
    // A minute at first, then as much as there is.
    const span = Math.max(FIRST_SPAN, this.values[0].length);
    const step = (this.width - LEFT) / (span - 1);
    this.values.forEach((series, number) => {
      const first = this.width - (series.length - 1) * step;
      let drawn = "";
      let pen = "M";
      series.forEach((value, index) => {
        if (value === null) {
          pen = "M";
          return;
        }
        drawn += `${pen}${(first + index * step).toFixed(1)} ${this.#y(value / highest).toFixed(1)}`;
        pen = "L";
      });
      set(this.paths[number], "d", drawn);
      if (number === 0) set(this.area, "d", drawn && this.#closed(drawn));
    });
    const words = this.names.map((name, number) => `${name} ${this.now[number].textContent}`);
    set(this.picture, "aria-label", `${this.title}: ${words.join(", ")}`);
  }
}
