// The page: asks the monitor, and shows what it says. Everything it shows can be had from /api/v1/ as well.

import { Graph } from "./charts.js";
import { LISTENERS, PROCESSES, REASONS, RULES, SESSIONS } from "./columns.js";
import { keep, make, say, set } from "./dom.js";
import { bits, bytes, count, duration, rate, scaled } from "./format.js";
import { Rates, Work } from "./rates.js";
import { LongTable, ShortTable } from "./table.js";
import { showTransfers } from "./transfers.js";

const STATUS_MS = 1000;
const LISTS_MS = 2000;
const MANY_SESSIONS = 2000;
const MANY_MS = 5000;
const PAGE = 1000;
const SECONDS = 300;
// A connection that has died unnoticed, in a tunnel say, answers no more; a long list may come slowly.
const STATUS_WITHIN_MS = 5000;
const LIST_WITHIN_MS = 30_000;

const byId = (name) => document.getElementById(name);
const listenerKey = (line) => `${line.address} ${line.device} ${line.transparent}`;
const sum = (numbers) => Object.values(numbers).reduce((total, number) => total + number, 0);

async function ask(path, within = LIST_WITHIN_MS) {
  const signal = AbortSignal.timeout(within);
  const answer = await fetch(`api/v1/${path}`, { cache: "no-store", credentials: "omit", signal });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer.json();
}

/** Ask for all pages of a list; stop where what is open is more than anybody can look at. */
async function askAll(name) {
  const found = [];
  let cursor = "";
  do {
    const page = await ask(`${name}?limit=${PAGE}${cursor && `&cursor=${cursor}`}`);
    found.push(...page[name]);
    cursor = page.next;
  } while (cursor !== null && found.length < 100_000);
  return found;
}

// --- at a glance -----------------------------------------------------------------------------------------------------

function cardsOf(now, pace) {
  const uftp = now.program === "uftpproxyd";
  const lost = now.kernel_rx_overflow;
  const cards = [
    { key: "open", title: uftp ? "Transfers" : "Sessions", raw: now.sessions, text: count(now.sessions),
      note: `of ${count(now.max_sessions)} at most`, part: now.sessions / Math.max(now.max_sessions, 1) },
    uftp
      ? { key: "clients", title: "Clients", raw: now.facts.clients, text: count(now.facts.clients), note: "of all transfers" }
      : { key: "opened", title: "Opened", raw: now.sessions_opened, text: rateText(pace.opened),
        note: `${scaled(now.sessions_opened)} in all` },
    { key: "out", title: uftp ? "Sent" : "To servers", raw: now.out.forwarded, text: bitsText(pace.bytesOut),
      note: `${rateText(pace.out)}, ${scaled(now.out.forwarded)} datagrams in all` },
    uftp
      ? { key: "in", title: "Received", raw: now.out.received, text: rateText(pace.received),
        note: `${scaled(now.out.received)} datagrams in all` }
      : { key: "in", title: "To clients", raw: now.in.forwarded, text: bitsText(pace.bytesIn),
        note: `${rateText(pace.in)}, ${scaled(now.in.forwarded)} datagrams in all` },
    { key: "dropped", title: uftp ? "Not used" : "Dropped", raw: pace.droppedTotal, text: rateText(pace.dropped),
      note: `${count(pace.droppedTotal)} in all` },
    { key: "overflow", title: "Lost in full queues", raw: lost, text: count(lost), note: rateText(pace.lost) },
  ];
  return cards;
}

const rateText = (value) => (value === null ? "–" : rate(value));
const bitsText = (value) => (value === null ? "–" : bits(value));

function showCards(cards) {
  keep(byId("glance"), cards, (card) => card.key, () => make("div", {}, make("dt"), make("dd"), make("dd", { class: "note" })),
    (box, card) => {
      const [title, value, note] = box.children;
      say(title, card.title);
      say(value, card.text);
      set(value, "data-value", card.raw);
      say(note, card.note);
      if (card.part === undefined) return;
      if (box.children.length < 4) {
        box.append(make("dd", {}, make("meter", { min: 0, max: 1, low: 0.8, high: 0.95, optimum: 0, "aria-label": "in use" })));
      }
      box.children[3].firstChild.value = card.part;
    });
}

// --- the page --------------------------------------------------------------------------------------------------------

class Page {
  constructor() {
    this.paces = new Rates();
    this.hits = new Rates();
    this.lines = new Rates();
    this.flows = new Rates();
    this.work = new Work();
    this.graphs = null;
    this.tables = null;
    this.now = null;
    this.paused = false;
    byId("pause").addEventListener("click", () => this.pause());
    byId("filter").addEventListener("input", (event) => {
      this.tables?.sessions?.filter(event.target.value);
      this.tellShown("polite");
    });
  }

  pause() {
    this.paused = !this.paused;
    set(byId("pause"), "aria-pressed", this.paused);
  }

  get resting() {
    return this.paused || document.hidden;
  }

  setUp(now) {
    const uftp = now.program === "uftpproxyd";
    this.uftp = uftp;
    byId("sessions-part").hidden = byId("acls-part").hidden = uftp;
    byId("groups-part").hidden = !uftp;
    const number = (value) => scaled(value);
    this.graphs = uftp
      ? [new Graph("Bytes", ["sent"], bits, SECONDS), new Graph("Datagrams", ["sent", "received", "not used"], rate, SECONDS),
        new Graph("Transfers", ["open", "clients"], number, SECONDS)]
      : [new Graph("Bytes", ["to servers", "to clients"], bits, SECONDS),
        new Graph("Datagrams", ["to servers", "to clients", "dropped"], rate, SECONDS),
        new Graph("Sessions", ["open", "opened a second"], number, SECONDS)];
    byId("graphs").replaceChildren(...this.graphs.map((graph) => graph.element));
    const matches = (item, words) => {
      const text = `${item.client} ${item.server} ${item.acl} ${item.type} ${item.id} ${item.listener}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    this.tables = {
      sessions: uftp ? null : new LongTable(byId("sessions"), "Sessions", SESSIONS, matches, ["bytes_out", true]),
      acls: uftp ? null : new ShortTable(byId("acls"), "Rules and what they have decided", RULES, (item) => item.name),
      listeners: new ShortTable(byId("listeners"), "Listeners and what they have received", LISTENERS, listenerKey),
      processes: new ShortTable(byId("processes"), "Processes of the proxy", PROCESSES, (item) => item.name),
      reasons: new ShortTable(byId("reasons"), "Why datagrams were dropped, and sessions have ended", REASONS,
        (item) => `${item.what} ${item.reason}`, ["count", true]),
    };
  }

  async takeStatus() {
    const now = await ask("status", STATUS_WITHIN_MS);
    if (this.now === null || this.now.program !== now.program) this.setUp(now);
    else this.leaveGap(now.now_unix - this.now.now_unix);
    this.now = now;
    this.paces.begin(now.now_unix);
    const of = (name, value) => this.paces.of(name, value);
    const droppedTotal = sum(now.out.dropped) + sum(now.in.dropped);
    const pace = {
      opened: of("opened", now.sessions_opened), out: of("out", now.out.forwarded), in: of("in", now.in.forwarded),
      bytesOut: of("bytes out", now.out.bytes), bytesIn: of("bytes in", now.in.bytes), droppedTotal,
      dropped: of("dropped", droppedTotal), lost: of("lost", now.kernel_rx_overflow), received: of("received", now.out.received),
    };
    this.showHead(now);
    showCards(cardsOf(now, pace));
    set(byId("glance"), "data-at", now.now_unix);
    const values = this.uftp
      ? [[pace.bytesOut], [pace.out, pace.received, pace.dropped], [now.sessions, now.facts.clients]]
      : [[pace.bytesOut, pace.bytesIn], [pace.out, pace.in, pace.dropped], [now.sessions, pace.opened]];
    this.graphs.forEach((graph, place) => graph.push(values[place]));
    this.showProcesses(now, of);
    this.showReasons(now, of);
  }

  /** Nobody has looked, or nobody has answered: a graph's line does not lead over that time. */
  leaveGap(seconds) {
    const missed = Math.min(Math.round((seconds * 1000) / STATUS_MS) - 1, SECONDS);
    if (missed > 1) this.graphs.forEach((graph) => graph.skip(missed));
  }

  showHead(now) {
    const title = `${now.name}: ${now.program}`;
    if (document.title !== title) document.title = title;
    say(byId("name"), now.name);
    say(byId("about"), `${now.program} ${now.version}, up ${duration(now.now_unix - now.started_unix)}`);
    this.tellState(now.state);
    const { done, failed, last_failed: bad, last_unix: when } = now.reload;
    const ended = when === null ? "not reloaded yet" : `last reload ${bad ? "failed" : "succeeded"} ${new Date(when * 1000).toLocaleString()}`;
    say(byId("configuration"), `Configuration ${now.file || "of the command line"}, generation ${now.generation}: ${ended} (${done} done, ${failed} failed).`);
  }

  tellState(state) {
    set(byId("state"), "data-state", state);
    say(byId("state"), state);
  }

  tellUnreachable() {
    this.tellState("unreachable");
    if (this.now === null) return;
    const { program, version, now_unix: last } = this.now;
    say(byId("about"), `${program} ${version}, as it was at ${new Date(last * 1000).toLocaleTimeString()}`);
  }

  showProcesses(now, of) {
    const workers = new Map(now.workers.map((worker) => [`worker ${worker.index}`, worker]));
    this.tables.processes.show(now.processes.map((process) => {
      const worker = workers.get(process.name);
      const row = { ...process, pid: process.pid || null, cpu: this.work.of(process, now.now_unix) };
      if (worker === undefined) return { ...row, sessions: null, rate: null, lag: null };
      const turns = of(`turns ${worker.index}`, worker.loop_turns);
      const busy = of(`busy ${worker.index}`, worker.loop_seconds);
      const lag = turns ? busy / turns : worker.loop_turns ? worker.loop_seconds / worker.loop_turns : null;
      return { ...row, sessions: worker.sessions, rate: of(`datagrams ${worker.index}`, worker.received), lag };
    }));
  }

  showReasons(now, of) {
    const rows = [];
    for (const [what, counts] of [["dropped, from clients", now.out.dropped], ["dropped, from servers", now.in.dropped],
      ["ended", now.sessions_closed]]) {
      for (const [reason, number] of Object.entries(counts)) {
        const pace = of(`${what} ${reason}`, number);
        if (number) rows.push({ what: this.uftp ? "not used" : what, reason, rate: pace, count: number });
      }
    }
    this.tables.reasons.show(rows);
  }

  async takeLists() {
    const [lines, rules, groups] = await Promise.all([
      ask("listeners"), this.uftp ? null : ask("acls"), this.uftp ? askAll("groups") : null]);
    const at = performance.now() / 1000;
    this.lines.begin(at);
    this.tables.listeners.show(lines.listeners.map((line) => ({ ...line, rate: this.lines.of(listenerKey(line), line.received) })));
    if (rules !== null) {
      this.hits.begin(at);
      this.tables.acls.show(rules.acls.map((rule) => ({ ...rule, rate: this.hits.of(rule.name, rule.accepted + rule.rejected) })));
    }
    if (groups !== null) showTransfers(groups, at);
  }

  async takeSessions() {
    const sessions = await askAll("sessions");
    this.flows.begin(performance.now() / 1000);
    for (const session of sessions) session.rate = this.flows.of(session.id, session.bytes_in + session.bytes_out);
    this.tables.sessions.show(sessions);
    this.tellShown("off");
  }

  /** Say how many sessions are shown. live: screen readers speak of it when somebody has asked, not every two seconds. */
  tellShown(live) {
    const table = this.tables?.sessions;
    if (!table) return;
    const { shown, items, words } = table;
    set(byId("sessions-shown"), "aria-live", live);
    say(byId("sessions-shown"), words.length ? `${count(shown.length)} of ${count(items.length)}` : count(items.length));
  }

  /** Do something again and again, as long as somebody looks; what fails once is tried again. */
  async every(pause, action) {
    for (;;) {
      if (!this.resting) {
        try {
          await action();
        } catch {
          if (action.vital) this.tellUnreachable();
        }
      }
      await new Promise((resolve) => { setTimeout(resolve, typeof pause === "number" ? pause : pause()); });
    }
  }

  async run() {
    const status = () => this.takeStatus();
    status.vital = true;
    await this.takeStatus().catch(() => this.tellUnreachable());
    this.every(STATUS_MS, status);
    this.every(LISTS_MS, async () => { if (this.now) await this.takeLists(); });
    this.every(() => ((this.now?.sessions ?? 0) > MANY_SESSIONS ? MANY_MS : LISTS_MS), async () => {
      if (this.now && !this.uftp) await this.takeSessions();
    });
  }
}

new Page().run();
