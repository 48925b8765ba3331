// What the tables show: a row a column. chars: how wide one is in a table of fixed widths, none: as its texts need.

import { bits, bytes, count, duration, milliseconds, rate, short } from "./format.js";

function plain(key, title, more = {}) {
  return { key, title, text: (item) => String(item[key] ?? "–"), value: (item) => item[key], ...more };
}

function numeric(key, title, format, more = {}) {
  const text = (item) => (item[key] === null || item[key] === undefined ? "–" : format(item[key]));
  return { key, title, text, value: (item) => item[key], number: true, ...more };
}

export const SESSIONS = [
  plain("client", "Client"),
  plain("server", "Server"),
  plain("acl", "Rule"),
  plain("type", "Type", { optional: true }),
  numeric("age_s", "Age", duration, { chars: 9 }),
  numeric("idle_s", "Idle", duration, { chars: 9 }),
  numeric("ends_in_s", "Ends in", duration, { optional: true, chars: 9 }),
  numeric("rate", "Now", bits, { chars: 9 }),
  numeric("datagrams_out", "Dgrams out", short, { optional: true, chars: 8 }),
  numeric("datagrams_in", "in", short, { optional: true, chars: 7 }),
  numeric("bytes_out", "Bytes out", bytes, { chars: 8 }),
  numeric("bytes_in", "in", bytes, { chars: 8 }),
  plain("id", "Id", { optional: true }),
];

export const RULES = [
  plain("name", "Rule"),
  { key: "accept", title: "Verdict", text: (item) => (item.accept === null ? "–" : item.accept ? "accept" : "deny"),
    value: (item) => item.accept },
  plain("type", "Type", { optional: true }),
  numeric("rate", "Hits now", rate),
  numeric("accepted", "Accepted", count),
  numeric("rejected", "Rejected", count),
  numeric("opened", "Opened", count, { optional: true }),
];

export const LISTENERS = [
  plain("address", "Address"),
  { key: "kind", title: "Kind", optional: true,
    text: (item) => [item.transparent ? "transparent" : "", item.device ?? ""].join(" ").trim() || "–" },
  numeric("rate", "Now", rate),
  numeric("received", "Datagrams", count),
  numeric("bytes", "Bytes", bytes, { optional: true }),
  numeric("overflow", "Lost in queue", count),
];

export const PROCESSES = [
  plain("name", "Process"),
  plain("state", "State"),
  numeric("pid", "Number", String, { optional: true }),
  numeric("sessions", "Open", count),
  numeric("rate", "Datagrams", rate),
  numeric("cpu", "Processor", (part) => `${(part * 100).toFixed(1)} %`),
  numeric("lag", "Turn", milliseconds),
  numeric("rss_bytes", "Memory", bytes, { optional: true }),
  numeric("descriptors", "Descriptors", count, { optional: true }),
  numeric("lives", "Starts", count),
];

export const REASONS = [
  plain("what", "What"),
  plain("reason", "Reason"),
  numeric("rate", "Now", rate),
  numeric("count", "In all", count),
];
