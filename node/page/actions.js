// What can be done to instances, one or thousands.
import { ask, link, of } from "./api.js";
import { may } from "./data.js";
import { h, say } from "./dom.js";
import { plural, whole } from "./format.js";
import { show, sure } from "./popup.js";

const AT_ONCE = 8;

/** Each with the states that it is for, what is asked of the node, and its word while it is done. */
export const ACTIONS = [
  { id: "start", words: "Start", doing: "Starting", states: ["stopped", "failed", "waiting"] },
  { id: "stop", words: "Stop", doing: "Stopping", states: ["starting", "ready", "paused", "waiting"], asks: true },
  { id: "reboot", words: "Restart", doing: "Restarting", states: ["ready", "paused"], asks: true },
  { id: "pause", words: "Pause", doing: "Pausing", states: ["ready"] },
  { id: "resume", words: "Resume", doing: "Resuming", states: ["paused"] },
  { id: "delete", words: "Delete", doing: "Deleting", states: null, asks: true, tone: "danger" },
];
export const BULK = ACTIONS.filter((a) => ["start", "stop", "reboot", "delete"].includes(a.id));

const fits = (action, i) => !action.states || action.states.includes(i.state);
const send = (action, name) => (action.id === "delete" ? ask("DELETE", of(name, "?force=true")) : ask("POST", of(name, `/${action.id}`)));

/** What may be done to an instance now: nothing without the role for it, or while the node does not answer. */
export const fitting = (i) => (may("operate") && link.up ? ACTIONS.filter((a) => fits(a, i)) : []);

/** Does it to one. Only what cannot be undone is asked about. */
export async function act(action, i) {
  if (action.id === "delete" && !await sure(`Delete ${i.name}?`, "Delete", [i.name], i.state === "stopped" ? "" : `It is ${i.state}.`)) return false;
  say(`${action.doing} ${i.name} …`);
  const now = await send(action, i.name);
  say(now ? `${i.name} is ${now.state}.` : `${i.name} is deleted.`);
  return true;
}

/** Does it to many, after a question; `progress` gets words, or nothing at the end. */
export async function actOnAll(action, all, progress) {
  const list = all.filter((i) => fits(action, i));
  const left = all.length - list.length;
  if (!list.length) { say(`None of them can be ${{ start: "started", stop: "stopped", reboot: "restarted" }[action.id]}: see their states.`, true); return; }
  const running = list.filter((i) => ["ready", "starting", "paused"].includes(i.state)).length;
  const notes = [left && `${plural(left, "other")} cannot: ${left === 1 ? "its state does" : "their states do"} not allow it.`, action.asks && running && `${whole(running)} of them ${running === 1 ? "is" : "are"} running.`];
  if (!await sure(`${action.words} ${plural(list.length, "instance")}?`, action.words, list.map((i) => i.name), notes.filter(Boolean).join(" "))) return;
  const failures = [];
  let done = 0, stopped = false;
  const stop = () => { stopped = true; };
  const tell = () => progress(`${action.doing} ${whole(done)} of ${whole(list.length)}${failures.length ? `, ${whole(failures.length)} refused` : ""}`, stop);
  const queue = list.values();
  const work = async () => {
    for (const i of queue) {
      if (stopped) return;
      try { await send(action, i.name); } catch (e) {
        // What somebody else has deleted meanwhile is deleted.
        if (action.id !== "delete" || e.status !== 404) failures.push([i.name, e.message]);
        if (e.lost) stop();
      }
      done += 1;
      tell();
    }
  };
  tell();
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  progress("");
  say(`${action.words}: ${whole(done - failures.length)} of ${whole(list.length)} done${stopped ? ", then stopped" : ""}.`, failures.length > 0);
  if (failures.length) {
    const rows = failures.slice(0, 50).map(([name, why]) => h("li", {}, h("b", {}, name), ` ${why}`));
    show(`${plural(failures.length, "instance")} refused`, h("ul", { class: "names" }, rows, failures.length > 50 && h("li", {}, "…")));
  }
}
