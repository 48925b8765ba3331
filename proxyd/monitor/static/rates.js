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

/** Remembers how much processor time each process had used. It is told anew every five seconds or so, not at each look. */
export class Work {
  constructor() {
    this.known = new Map();
  }

  /** Return the part of a processor that a process has used of late, null while that is not known. */
  of(process, at) {
    const key = `${process.name} ${process.pid}`;
    const before = this.known.get(key);
    if (before === undefined) this.known.set(key, { used: process.cpu_ns, at, part: null });
    else if (process.cpu_ns !== before.used || at - before.at > 10) {
      this.known.set(key, { used: process.cpu_ns, at, part: (process.cpu_ns - before.used) / 1e9 / (at - before.at) });
    }
    return before?.part ?? null;
  }
}
