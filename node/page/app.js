// The page: views, forms, and what keeps them true.
import { ask, denied, follow, get, useToken } from "./api.js";
import { Bars, phases, picture } from "./draw.js";

const $ = (id) => document.getElementById(id);
const ms = (ns) => (ns / 1e6).toFixed(2);
const bars = new Bars($("bars"));
let shown = null;

function say(text, bad = false) {
  $("news").textContent = text;
  $("news").className = bad ? "bad" : "";
}

/** Does something, and says what went wrong. */
const attempt = (work) => async (...given) => {
  try { return await work(...given); } catch (e) { say(e.message, true); return undefined; }
};

function cell(content, kind) {
  const made = document.createElement("td");
  made.append(content);
  if (kind) made.className = kind;
  return made;
}

function rows(id, list) {
  const made = list.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((c) => (c instanceof Node && c.tagName === "TD" ? c : cell(c instanceof Node ? c : String(c)))));
    return row;
  });
  document.querySelector(`#${id} tbody`).replaceChildren(...made);
}

function button(words, label, then) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", attempt(then));
  return made;
}

const of = (name, rest = "") => `/v1/instances/${encodeURIComponent(name)}${rest}`;
const ACTIONS = {
  starting: ["stop"], ready: ["stop", "pause", "reboot"], paused: ["resume", "stop"], stopping: [],
  waiting: ["start", "stop"], stopped: ["start"], failed: ["start"],
};

async function everything() {
  const all = [];
  for (let next = ""; next !== undefined;) {
    const page = await get(`/v1/instances?limit=1000&after=${next}`);
    all.push(...page.instances);
    next = page.next;
  }
  return all;
}

function actions(i) {
  const box = document.createElement("span");
  const act = (what) => button(what, `${what} ${i.name}`, async () => {
    say(`${i.name}: ${what} …`);
    const now = await ask("POST", of(i.name, `/${what}`));
    say(`${i.name} is ${now.state}.`);
  });
  box.append(...(ACTIONS[i.state] || []).map(act));
  box.append(button("delete", `delete ${i.name}`, async () => {
    if (!confirm(`Delete ${i.name}?`)) return;
    await ask("DELETE", of(i.name, "?force=true"));
    say(`${i.name} is deleted.`);
  }));
  return box;
}

let redrawing = false, again = false;
/** The table as it is now; asked again if something happened meanwhile. */
const redraw = attempt(async () => {
  if (redrawing) { again = true; return; }
  redrawing = true;
  try {
    do {
      again = false;
      const all = await everything();
      rows("instances", all.map((i) => [
        button(i.name, `details of ${i.name}`, () => details(i.name)),
        cell(i.state, i.state), i.image, i.devices.map((d) => d.address || d.mac).join(" "),
        i.ready_ns ? `${ms(i.ready_ns)} ms` : "–", actions(i),
      ]));
      $("none").hidden = all.length > 0;
      if (shown) {
        const now = all.find((i) => i.name === shown);
        if (now) { await details(shown, false); } else { $("details").hidden = true; shown = null; }
      }
    } while (again);
  } finally { redrawing = false; }
});

async function details(name, focus = true) {
  const i = await get(of(name));
  const isNew = shown !== name;
  shown = name;
  $("h-details").textContent = `${i.name}: ${i.state}`;
  $("reason").textContent = i.reason || "";
  $("details").hidden = false;
  const timeline = await get(of(name, "/timeline")).catch(() => null);
  const list = timeline ? phases(timeline) : [];
  if (isNew || list.length !== bars.list.length) bars.show(list);
  rows("spans", list.map((p) => ["\u00a0\u00a0".repeat(p.depth) + p.name, p.source, p.start.toFixed(3), (p.end - p.start).toFixed(3)]));
  $("console").textContent = await get(of(name, "/console")).catch(() => "");
  const status = await get("/v1/switch");
  const own = status.ports.filter((p) => i.devices.some((d) => d.port === p.name));
  rows("counters", own.map((p) => [p.name, p.counters.sent, p.counters.received, dropped(p)]));
  if (focus) $("h-details").scrollIntoView({ block: "start" });
}

const dropped = (port) => Object.values(port.counters.drops || {}).reduce((sum, n) => sum + n, 0);

const drawNetwork = attempt(async () => {
  const [networks, status, all] = await Promise.all([get("/v1/networks"), get("/v1/switch"), everything()]);
  const nameOf = (port) => (all.find((i) => i.devices.some((d) => d.port === port.name)) || port).name;
  picture($("picture"), networks, status.ports, nameOf);
  rows("ports", status.ports.map((p) => [
    p.segment || (p.link_of ? `link of ${p.link_of}` : "trunk"), nameOf(p), p.kind, cell(p.up ? "up" : "down", p.up ? "up" : "down"),
    p.counters.received, p.counters.sent, dropped(p),
  ]));
});

const drawPhases = attempt(async () => {
  const list = await get("/v1/timelines/statistics?last=100");
  rows("statistics", list.map((s) => [s.phase, s.count, ms(s.p50_ns), ms(s.p90_ns), ms(s.p99_ns)]));
});

const fillForm = attempt(async () => {
  const [images, flavors, networks] = await Promise.all([get("/v1/images"), get("/v1/flavors"), get("/v1/networks")]);
  const option = (name) => new Option(name, name);
  const chosen = $("image").value || "clickos";
  $("image").replaceChildren(...images.map((i) => option(i.name)));
  $("image").value = chosen;
  $("flavor").replaceChildren(new Option("none", ""), ...flavors.map((f) => option(f.name)));
  if (!$("networks").value && networks.length) $("networks").value = networks[0].name;
});

const VIEWS = { instances: redraw, new: fillForm, network: drawNetwork, phases: drawPhases };

function view(name) {
  for (const section of document.querySelectorAll("section[data-view]")) section.hidden = section.dataset.view !== name;
  for (const tab of document.querySelectorAll("nav button")) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  }
  VIEWS[name]();
}

/** Underlines what is wrong from its column to the end of its word. */
function mark(errors) {
  const lines = $("config").value.split("\n");
  const parts = [];
  lines.forEach((line, index) => {
    const here = errors.filter((e) => e.line === index + 1).sort((a, b) => a.column - b.column)[0];
    if (!here) { parts.push(`${line}\n`); return; }
    const from = Math.min(here.column - 1, Math.max(0, line.length - 1));
    const word = /^\w+|^./.exec(line.slice(from)) || [" "];
    const wrong = document.createElement("mark");
    wrong.textContent = word[0];
    parts.push(line.slice(0, from), wrong, `${line.slice(from + word[0].length)}\n`);
  });
  $("marks").replaceChildren(...parts);
  $("errors").replaceChildren(...errors.map((e) => {
    const item = document.createElement("li");
    item.textContent = `Line ${e.line}, column ${e.column}: ${e.message}`;
    return item;
  }));
  $("config").setAttribute("aria-invalid", errors.length > 0);
}

const wishedNetworks = () => $("networks").value.split(/[\s,]+/).filter(Boolean);

const check = attempt(async () => {
  const text = $("config").value;
  if ($("image").value !== "clickos" || !text.trim()) { mark([]); return; }
  const found = await ask("POST", "/v1/configurations/check", { config: text });
  if ($("config").value === text) mark(found.errors);
});

let typing;
$("config").addEventListener("input", () => { mark([]); clearTimeout(typing); typing = setTimeout(check, 250); });
$("config").addEventListener("scroll", () => { $("marks").scrollTop = $("config").scrollTop; $("marks").scrollLeft = $("config").scrollLeft; });

$("create").addEventListener("submit", (e) => {
  e.preventDefault();
  const spec = { image: $("image").value, devices: wishedNetworks().map((network) => ({ network })) };
  if ($("name").value) spec.name = $("name").value;
  if ($("config").value.trim()) spec.config = $("config").value;
  if ($("flavor").value) spec.flavor = $("flavor").value;
  if ($("idle").value) spec.on_demand = { idle_s: Number($("idle").value) };
  say("Starting …");
  ask("POST", "/v1/instances", spec).then((made) => {
    say(made.ready_ns ? `${made.name} is ready after ${ms(made.ready_ns)} ms.` : `${made.name} is ${made.state}.`);
    shown = made.name;
    view("instances");
  }, (problem) => {
    if (problem.places && problem.places.length) mark(problem.places);
    say(problem.message, true);
  });
});

$("add-network").addEventListener("submit", attempt(async (e) => {
  e.preventDefault();
  const wished = { name: $("network-name").value };
  if ($("subnet").value) wished.subnet = $("subnet").value;
  if ($("gateway").value) wished.gateway = $("gateway").value;
  await ask("POST", "/v1/networks", wished);
  say(`Network ${wished.name} is there.`);
  drawNetwork();
}));

$("handler").addEventListener("submit", attempt(async (e) => {
  e.preventDefault();
  const { value } = await get(of(shown, `/handlers/${encodeURIComponent($("handler-name").value)}`));
  $("handler-value").textContent = value;
}));

$("zoom-in").addEventListener("click", () => bars.zoom(0.8));
$("zoom-out").addEventListener("click", () => bars.zoom(1.25));
$("zoom-all").addEventListener("click", () => bars.whole());
for (const tab of document.querySelectorAll("nav button")) tab.addEventListener("click", () => view(tab.dataset.view));

const begin = attempt(async () => {
  const status = await get("/v1/status");
  $("host").textContent = `${location.host}, version ${status.version}`;
  $("access").hidden = true;
  say("");
  view("instances");
  follow("/v1/events/watch", (event) => {
    if (event === null || event.kind.startsWith("instance.")) redraw();
    if (!document.querySelector("section[data-view=network]").hidden) drawNetwork();
  });
});

denied(() => { $("access").hidden = false; $("token").focus(); });
$("access").addEventListener("submit", (e) => { e.preventDefault(); useToken($("token").value.trim()); begin(); });
begin();
