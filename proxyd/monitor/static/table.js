// Tables: small ones whole, long ones as much as is in sight. Both are sorted by their headers.

import { keep, make, say, set } from "./dom.js";

const ROW_REM = 2.125;
const BEYOND = 6;

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
    place.replaceChildren(this.table);
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
      .sort((a, b) => compare(a[0], b[0], sign) || a[1] - b[1])
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

/** Order values, from the smallest (sign 1) or the largest (sign -1); what is not known comes last either way. */
function compare(a, b, sign) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return a < b ? -sign : sign;
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

/**
 * A table of thousands of rows, of which those in sight exist. matches(item, words): whether a filter lets it through.
 *
 * Its columns have widths of their own (`chars`, or as long as the longest text where that is 0): to lay out a table by
 * its contents takes too long to be done while it scrolls, and columns would wander.
 */
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
    this.first = 0;
    this.waiting = false;
    this.cols = columns.map((column) => make("col", { class: column.optional ? "optional" : null }));
    this.table.firstChild.after(make("colgroup", {}, ...this.cols));
    this.table.classList.add("fixed");
    place.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.arrange()).observe(place);
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
      this.#draw(false);
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
    this.height = ROW_REM * parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.#fit();
    this.#draw(true);
  }

  #fit() {
    let total = 0;
    this.columns.forEach((column, number) => {
      const longest = column.chars || this.items.reduce((most, item) => Math.max(most, item[column.key].length), 6);
      // Titles and first columns are bold; an arrow goes with the title that is sorted by.
      const width = Math.max(number === 0 ? longest * 1.05 : longest, column.title.length * 1.05 + 2) + 2.5;
      this.cols[number].style.width = `${width}ch`;
      if (this.heads[number].offsetParent !== null) total += width;
    });
    this.table.style.minWidth = `${total}ch`;
  }

  /** Draw what is in sight. all: what was drawn before may have changed too. */
  #draw(all) {
    const { height, rows } = this;
    const total = this.shown.length;
    const sight = Math.ceil(Math.max(this.place.clientHeight, height * 4) / height) + 2 * BEYOND;
    const first = Math.max(0, Math.min(Math.floor(this.place.scrollTop / height) - BEYOND, total - sight));
    const wanted = Math.min(sight, total - first);
    let fresh = all || rows.length !== wanted;
    while (rows.length < wanted) {
      rows.push(this.row());
      this.below.before(rows.at(-1));
    }
    while (rows.length > wanted) rows.pop().remove();
    const moved = first - this.first;
    if (!fresh && moved === 0) return;
    fresh ||= Math.abs(moved) >= wanted;
    this.first = first;
    if (fresh) rows.forEach((_, number) => this.#write(number));
    else this.#roll(moved);
    this.above.firstChild.style.height = `${first * height}px`;
    this.below.firstChild.style.height = `${Math.max(0, total - first - wanted) * height}px`;
  }

  /** Bring the rows that went out of sight to the other end, where others come into it. */
  #roll(moved) {
    const { rows } = this;
    if (moved > 0) {
      const gone = rows.splice(0, moved);
      this.below.before(...gone);
      rows.push(...gone);
      for (let number = rows.length - moved; number < rows.length; number += 1) this.#write(number);
    } else {
      const gone = rows.splice(moved);
      this.above.after(...gone);
      rows.unshift(...gone);
      for (let number = 0; number < -moved; number += 1) this.#write(number);
    }
  }

  #write(number) {
    const row = this.rows[number];
    const place = this.first + number;
    set(row, "aria-rowindex", place + 2);
    row.classList.toggle("odd", place % 2 === 1);
    this.cells(row, this.shown[place]);
  }
}
