// Tables: small ones whole, long ones as much as is in sight. Both are sorted by their headers.

import { keep, make, say, set } from "./dom.js";

const ROW_REM = 2.125;
const BEYOND = 12;

/** A column: key, title, text(item), and where it is sortable value(item); number: right-aligned; optional: not on phones. */
function cellClass(column) {
  return [column.number ? "number" : "", column.optional ? "optional" : ""].join(" ").trim() || null;
}

class Sorted {
  constructor(place, caption, columns, order) {
    this.columns = columns;
    this.order = order;
    this.items = [];
    this.heads = columns.map((column) => this.#head(column));
    this.body = make("tbody");
    this.table = make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...this.heads)), this.body);
    this.place = place;
    place.append(this.table);
    this.#mark();
  }

  #head(column) {
    const head = make("th", { scope: "col", class: cellClass(column) });
    if (column.value === undefined) {
      head.append(column.title);
      return head;
    }
    const button = make("button", { type: "button" }, column.title);
    button.addEventListener("click", () => this.sortBy(column));
    head.append(button);
    return head;
  }

  sortBy(column) {
    const [before, falling] = this.order;
    this.order = [column.key, before === column.key ? !falling : Boolean(column.number)];
    this.#mark();
    this.arrange();
  }

  #mark() {
    const [key, falling] = this.order;
    this.columns.forEach((column, number) => {
      if (column.value === undefined) return;
      set(this.heads[number], "aria-sort", column.key !== key ? "none" : falling ? "descending" : "ascending");
    });
  }

  sorted(items) {
    const [key, falling] = this.order;
    const column = this.columns.find((one) => one.key === key);
    if (column === undefined) return items;
    const sign = falling ? -1 : 1;
    return items
      .map((item, place) => [column.value(item), place, item])
      .sort((a, b) => sign * compare(a[0], b[0]) || a[1] - b[1])
      .map((row) => row[2]);
  }

  cells(row, item) {
    this.columns.forEach((column, number) => {
      const cell = row.children[number];
      if (column.fill === undefined) say(cell, column.text(item));
      else column.fill(cell, item);
    });
  }

  row() {
    return make("tr", {}, ...this.columns.map((column, number) =>
      number === 0 ? make("th", { scope: "row", class: cellClass(column) }) : make("td", { class: cellClass(column) })));
  }
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return a < b ? -1 : 1;
}

/** A table of which all rows are there. keyOf: what tells items apart. */
export class ShortTable extends Sorted {
  constructor(place, caption, columns, keyOf, order = ["", false]) {
    super(place, caption, columns, order);
    this.keyOf = keyOf;
  }

  show(items) {
    this.items = items;
    this.arrange();
  }

  arrange() {
    let number = 0;
    keep(this.body, this.sorted(this.items), this.keyOf, () => this.row(), (row, item) => {
      row.classList.toggle("odd", number % 2 === 1);
      number += 1;
      this.cells(row, item);
    });
  }
}

/** A table of thousands of rows, of which those in sight exist. matches(item, words): whether a filter lets it through. */
export class LongTable extends Sorted {
  constructor(place, caption, columns, matches, order) {
    super(place, caption, columns, order);
    this.matches = matches;
    this.words = [];
    this.shown = [];
    this.above = this.#spacer();
    this.below = this.#spacer();
    this.body.append(this.above, this.below);
    this.rows = [];
    this.waiting = false;
    place.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#soon()).observe(place);
  }

  #spacer() {
    return make("tr", { class: "spacer", role: "presentation", "aria-hidden": "true" },
      make("td", { colspan: this.columns.length }));
  }

  #soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#draw();
    });
  }

  show(items) {
    this.items = items;
    this.arrange();
  }

  filter(text) {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.place.scrollTop = 0;
    this.arrange();
  }

  arrange() {
    const { words } = this;
    const found = words.length ? this.items.filter((item) => this.matches(item, words)) : this.items;
    this.shown = this.sorted(found);
    set(this.table, "aria-rowcount", this.shown.length + 1);
    this.#draw();
  }

  #draw() {
    const height = ROW_REM * parseFloat(getComputedStyle(document.documentElement).fontSize);
    const total = this.shown.length;
    const sight = Math.ceil(Math.max(this.place.clientHeight, height * 4) / height) + 2 * BEYOND;
    const first = Math.max(0, Math.min(Math.floor(this.place.scrollTop / height) - BEYOND, total - sight));
    const wanted = Math.min(sight, total - first);
    while (this.rows.length < wanted) {
      const row = this.row();
      this.rows.push(row);
      this.below.before(row);
    }
    while (this.rows.length > wanted) this.rows.pop().remove();
    this.rows.forEach((row, number) => {
      const place = first + number;
      set(row, "aria-rowindex", place + 2);
      row.classList.toggle("odd", place % 2 === 1);
      this.cells(row, this.shown[place]);
    });
    this.above.firstChild.style.height = `${first * height}px`;
    this.below.firstChild.style.height = `${Math.max(0, total - first - wanted) * height}px`;
  }
}
