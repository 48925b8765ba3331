// Rates from counters that were read at two moments.

/** Remembers counters by name; tells by how much each has grown in a second. A counter that fell began anew. */
export class Rates {
  constructor() {
    this.before = new Map();
    this.seen = new Map();
    this.span = 0;
    this.at = null;
  }

  /** Begin with a reading at this moment (seconds). */
  begin(at) {
    this.before = this.seen;
    this.seen = new Map();
    this.span = this.at === null ? 0 : at - this.at;
    this.at = at;
  }

  /** Note a counter; return its rate, null where it is not known yet. */
  of(name, value) {
    this.seen.set(name, value);
    const old = this.before.get(name);
    if (old === undefined || old === null || value === null || this.span <= 0 || value < old) return null;
    return (value - old) / this.span;
  }
}
