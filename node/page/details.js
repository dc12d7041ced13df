// One instance: its timeline, console, counters, handlers.
import { get, getOr, of } from "./api.js";
import { $, attempt, ms, put, rows } from "./dom.js";
import { Bars, phases } from "./draw.js";

const bars = new Bars($("bars"), $("range"));
const GUEST = ["Packets to the guest", "Packets from the guest", "Dropped by the guest", "Times it gave way", "Heap in use, bytes"];
let shown = null, drawn = "", runs = false;

/** The name of what is shown. */
export const current = () => shown;
export const dropped = (port) => Object.values(port.counters.drops).reduce((sum, n) => sum + n, 0);

/** Shows nothing any more. */
export function hide() {
  shown = null;
  $("details").hidden = true;
}

/** Why packets went nowhere, in words. */
export const reasons = (port) => {
  const all = Object.entries(port.counters.drops).map(([why, n]) => `${n} ${why}`);
  return all.length ? `${dropped(port)} (${all.join(", ")})` : "0";
};

const answers = (i) => i.state === "ready" || i.state === "paused";

/** What changes while it runs: console and counters. */
async function live(now) {
  const { name } = now;
  const [said, status, inside] = await Promise.all([
    getOr("", of(name, "/console")), getOr({ ports: [] }, "/v1/switch"), answers(now) ? getOr(null, of(name, "/inspect")) : null,
  ]);
  if (shown !== name) return;
  runs = answers(now);
  const box = $("console");
  const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
  put("console", said);
  if (atEnd) box.scrollTop = box.scrollHeight;
  const own = status.ports.filter((p) => now.devices.some((d) => d.port === p.name));
  rows("counters", own.map((p) => {
    const device = now.devices.findIndex((d) => d.port === p.name);
    const { sent, sent_bytes, received, received_bytes } = p.counters;
    return [p.name, [`eth${device}, ${now.devices[device].network}`, p.up ? "up" : "down", `${sent} (${sent_bytes})`, `${received} (${received_bytes})`, reasons(p)]];
  }));
  const facts = inside ? [
    ["Process of the monitor", inside.pid], ["Guest memory, MiB", inside.memory / 2 ** 20], ["Seconds since entry", (inside.up_ns / 1e9).toFixed(0)],
    ...GUEST.map((what, at) => [what, inside.guest[at]]).filter(([, n]) => n !== undefined),
  ] : [["It does not answer: it does not run", "–"]];
  rows("monitor", facts.map(([what, value]) => [what, [what, value]]));
}

/** Refreshes what is shown, if it runs. */
export const refresh = attempt(async () => { if (shown && runs) await live(await get(of(shown))); });

/** Asks it no more until it is looked at again: it is about to end. */
export const rest = () => { runs = false; };

/** Shows an instance. */
export async function details(i, focus) {
  const isNew = shown !== i.name;
  shown = i.name;
  put("h-details", `${i.name}: ${i.state}`);
  put("reason", i.reason || "");
  $("details").hidden = false;
  // At once: later it might be taken from somebody who uses what is here already.
  if (focus) {
    $("h-details").scrollIntoView({ block: "start" });
    $("h-details").focus({ preventScroll: true });
  }
  if (isNew) $("handler-value").textContent = "";
  const [timeline, statistics] = await Promise.all([getOr(null, of(i.name, "/timeline")), getOr([], "/v1/timelines/statistics?last=100"), live(i)]);
  if (shown !== i.name) return;
  const list = timeline ? phases(timeline, statistics) : [];
  // What is zoomed stays so until there is another timeline.
  const what = timeline ? `${i.name} ${timeline.begun_unix_ns} ${list.length}` : "";
  if (what !== drawn || isNew) bars.show(list);
  drawn = what;
  rows("spans", list.map((p, at) => [at, [
    "\u00a0\u00a0".repeat(p.depth) + p.name, p.source, p.start.toFixed(3), (p.end - p.start).toFixed(3), ...(p.percentiles || ["–", "–", "–"]).map((v) => (v.toFixed ? v.toFixed(3) : v)),
  ]]));
}

/** Reads a handler. */
$("handler").addEventListener("submit", (e) => {
  e.preventDefault();
  attempt(async () => {
    const { value } = await get(of(shown, `/handlers/${encodeURIComponent($("handler-name").value.trim())}`));
    $("handler-value").textContent = value;
  })();
});
$("zoom-in").addEventListener("click", () => bars.zoom(0.8));
$("zoom-out").addEventListener("click", () => bars.zoom(1.25));
$("zoom-all").addEventListener("click", () => bars.whole());

/** Percentiles of a phase as a table's row. */
export const percentiles = (s) => [s.phase, [s.phase, s.count, ms(s.p50_ns), ms(s.p90_ns), ms(s.p99_ns)]];
