// UFTP transfers: a card each, with how far it is.

import { keep, make, say, set } from "./dom.js";
import { bits, bytes, count, duration } from "./format.js";
import { Rates } from "./rates.js";

const paces = new Rates();
const place = document.getElementById("groups");
const none = document.getElementById("groups-none");

function create() {
  const bar = make("progress", { max: 1, "aria-label": "progress of the file" });
  return make("li", {}, make("h3"), make("p"), bar, make("p"), make("p"));
}

function update(card, group) {
  const [title, what, bar, done, who] = card.children;
  say(title, group.file || "no file yet");
  const secret = group.encrypted ? ", encrypted" : "";
  say(what, `${group.id}: ${group.phase}${secret}, ${duration(group.age_s)} old, heard ${duration(group.idle_s)} ago`);
  // Sections are sent again for those who lost some: more than the whole may have been passed on.
  const part = group.file_size ? Math.min(group.file_bytes / group.file_size, 1) : null;
  if (part === null) bar.removeAttribute("value");
  else set(bar, "value", part.toFixed(4));
  set(bar, "aria-label", `progress of ${group.file || group.id}`);
  const speed = group.rate === null ? "" : `, ${bits(group.rate)}`;
  say(done, part === null
    ? `${bytes(group.bytes)} passed on${speed}`
    : `${Math.round(part * 100)} % of ${bytes(group.file_size)}, ${bytes(group.bytes)} passed on in all${speed}`);
  const clients = group.clients === null ? "clients not known here" : `${count(group.ready)} of ${count(group.clients)} clients ready`;
  say(who, `from ${group.server} to ${group.to}, ${clients}`);
}

/** Show transfers as they are. at: the moment, in seconds. */
export function showTransfers(groups, at) {
  paces.begin(at);
  for (const group of groups) group.rate = paces.of(`${group.worker} ${group.id}`, group.bytes);
  none.hidden = groups.length > 0;
  keep(place, groups, (group) => `${group.worker} ${group.id}`, create, update);
}
