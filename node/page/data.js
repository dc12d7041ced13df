// What is known of the node: instances as events change them, and rates made of counters.
import { everything, get, link, of } from "./api.js";
import { attempt, serial } from "./dom.js";

/** Instances by name, in the order of creation. */
export let instances = new Map();
/** Rates and memory of instances that run, by name. */
export let rates = new Map();
/** The last minutes, oldest first: of the host and the switch. */
export const history = { cpu: [], memory: [], packets: [], bits: [], drops: [] };
/** Who we are, the node's status, whether the list is there. */
export const node = { role: "read", token: "", status: null, usage: null, loaded: false };

const ROLES = ["read", "operate", "admin"];
const POINTS = 150, LOOK_MS = 2000, SOON_MS = 120, FEW = 25;
const listeners = new Map();

/** Calls `then` when a topic changes: `instances`, `usage`, `link`. */
export function on(topic, then) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(then);
}
export const tell = (topic, about) => listeners.get(topic)?.forEach((then) => then(about));

/** Whether our role suffices. */
export const may = (role) => ROLES.indexOf(node.role) >= ROLES.indexOf(role);

// What was deleted or looked at while all was read: that answer is older.
const gone = new Set(), newer = new Map();

/** Reads all instances anew. */
export const reload = serial(async () => {
  gone.clear();
  newer.clear();
  const all = await everything();
  instances = new Map(all.filter((i) => !gone.has(i.name)).map((i) => [i.name, i]));
  for (const [name, i] of newer) instances.set(name, i);
  node.loaded = true;
  tell("instances");
});

const changed = new Set();
let lastSeen = 0;
let waiting = 0, pause = SOON_MS;

async function look(name) {
  gone.delete(name);
  try {
    const now = await get(of(name));
    if (gone.has(name)) return;
    instances.set(name, now);
    newer.set(name, now);
  } catch (e) {
    if (e.status === 404) instances.delete(name); else throw e;
  }
}

/** Reads what has changed: one by one if it is little, or everything. */
const catchUp = attempt(async () => {
  waiting = 0;
  const names = [...changed];
  changed.clear();
  const begun = performance.now();
  if (names.length > FEW) await reload();
  else {
    await Promise.all(names.map(look));
    tell("instances");
  }
  // While thousands change, the list is read a fifth of the time.
  pause = Math.max(SOON_MS, 4 * (performance.now() - begun));
});

/** An event has come. */
export function happened(event) {
  // Who is too slow loses some, which the numbers show.
  const missed = lastSeen && event.seq > lastSeen + 1;
  lastSeen = event.seq;
  if (missed || event.kind === "node.started") { reload(); return; }
  if (!event.kind.startsWith("instance.")) return;
  if (event.kind === "instance.deleted") {
    gone.add(event.subject);
    changed.delete(event.subject);
    newer.delete(event.subject);
    instances.delete(event.subject);
  } else changed.add(event.subject);
  waiting ||= setTimeout(catchUp, pause);
}

const push = (list, n) => { list.push(n); if (list.length > POINTS) list.shift(); };
let before = null;

function measure(now) {
  const seconds = before ? (now.at_unix_ns - before.at_unix_ns) / 1e9 : 0;
  if (seconds > 0) {
    const was = new Map(before.instances.map((u) => [u.name, u]));
    const next = new Map();
    for (const u of now.instances) {
      const old = was.get(u.name);
      // Of another run, counters begin again.
      const per = (a, b) => (old && a >= b ? (a - b) / seconds : 0);
      const t = u.traffic, o = old?.traffic ?? t;
      next.set(u.name, {
        memory: u.memory, cpu: per(u.cpu_ns, old?.cpu_ns) / 1e9, pps: per(t.packets, o.packets),
        bps: 8 * per(t.bytes, o.bytes), drops: per(t.dropped, o.dropped),
      });
    }
    rates = next;
    const since = (a, b) => Math.max(0, a - b) / seconds;
    push(history.cpu, Math.min(1, since(now.cpu_busy_ns, before.cpu_busy_ns) / 1e9 / now.cpus));
    push(history.memory, 1 - now.available_mib / now.memory_mib);
    if (now.switch && before.switch) {
      push(history.packets, since(now.switch.packets, before.switch.packets));
      push(history.bits, 8 * since(now.switch.bytes, before.switch.bytes));
      push(history.drops, since(now.switch.dropped, before.switch.dropped));
    }
  } else {
    rates = new Map(now.instances.map((u) => [u.name, { memory: u.memory }]));
  }
  before = now;
  node.usage = now;
  tell("usage");
}

/** Looks at the counters now and then; a node that takes long for that is asked less often. */
export async function watchUsage() {
  for (;;) {
    const begun = performance.now();
    if (link.up && node.loaded && !document.hidden) {
      try { measure(await get("/v1/usage")); } catch { before = null; }
    } else before = null;
    await new Promise((then) => setTimeout(then, Math.max(LOOK_MS, 20 * (performance.now() - begun))));
  }
}
