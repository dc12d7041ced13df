// The page: views, forms, and what keeps them true.
import { ask, denied, everything, follow, get, of, useToken } from "./api.js";
import { $, attempt, button, ms, put, rows, say, state } from "./dom.js";
import { current, details, dropped, hide, percentiles, reasons, refresh, rest } from "./details.js";
import { Bars, linkState, medians, picture } from "./draw.js";
import * as editor from "./editor.js";

const ACTIONS = {
  starting: ["stop"], ready: ["stop", "pause", "reboot"], paused: ["resume", "stop"], stopping: [],
  waiting: ["start", "stop"], stopped: ["start"], failed: ["start"],
};
const medianBars = new Bars($("percentiles"), $("percentiles-range"));
let images = [];

function actions(i) {
  const box = document.createElement("span");
  const act = (what) => button(what, `${what} ${i.name}`, async () => {
    say(`${i.name}: ${what} …`);
    if (i.name === current()) rest();
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

/** Work that is done once more if it was asked for while it was done. */
function serial(work) {
  let busy = false, again = false;
  return attempt(async (...given) => {
    if (busy) { again = true; return; }
    busy = true;
    try { do { again = false; await work(...given); } while (again); } finally { busy = false; }
  });
}

/** The table as it is now. */
const redraw = serial(async () => {
  const all = await everything();
  rows("instances", all.map((i) => [i.id, [
    button(i.name, `details of ${i.name}`, async () => details(await get(of(i.name)), true)),
    state(i.state), i.image, i.devices.map((d) => d.address || d.mac).join(" "),
    i.ready_ns ? `${ms(i.ready_ns)} ms` : "–", actions(i),
  ]]));
  $("none").hidden = all.length > 0;
  const now = all.find((i) => i.name === current());
  if (now) await details(now, false); else hide();
});

const drawNetwork = serial(async () => {
  const [networks, status, all] = await Promise.all([get("/v1/networks"), get("/v1/switch"), everything()]);
  const { ports } = status;
  const owner = (port) => all.find((i) => i.devices.some((d) => d.port === port.name));
  const nameOf = (port) => (owner(port) || port).name;
  const linksOf = (bond) => (bond ? bond.links : []).map((l) => ({ name: l.port, words: linkState(l), up: l.up, active: l.active }));
  const what = (p) => (p.bond ? `bond, ${p.bond.mode}` : p.kind);
  const box = (p) => ({ name: nameOf(p), words: `${what(p)}, ${p.up ? "up" : "down"}`, up: p.up, links: linksOf(p.bond) });
  const beams = networks.map((n) => ({
    title: [n.name, n.subnet, n.gateway && `gateway ${n.gateway}`, n.point_to_point && "a wire"].filter(Boolean).join(", "),
    boxes: [
      ...ports.filter((p) => p.segment === n.name).map(box),
      // What has no port does not run.
      ...all.flatMap((i) => i.devices.filter((d) => d.network === n.name && !ports.some((p) => p.name === d.port))
        .map(() => ({ name: i.name, words: i.state, up: false, absent: true, links: [] }))),
    ],
  }));
  picture($("picture"), beams);
  put("no-networks", networks.length ? "" : "There are no networks yet.");
  rows("ports", ports.map((p) => {
    const above = p["link-of"] && ports.find((b) => b.name === p["link-of"]);
    const link = above && above.bond && above.bond.links.find((l) => l.port === p.name);
    const trunk = p.trunk.map(([vlan, segment]) => `${segment} (VLAN ${vlan})`).join(", ");
    const at = [p.segment, trunk].filter(Boolean).join(", ") || (above ? `link of ${above.name}` : "none");
    return [p.name, [
      at, nameOf(p), `${what(p)} ${p.device}`, state(p.up ? "up" : "down"), link ? linkState(link) : "–",
      `${p.counters.received} (${p.counters.received_bytes})`, `${p.counters.sent} (${p.counters.sent_bytes})`, dropped(p) ? reasons(p) : "0",
    ]];
  }));
});

const drawPhases = serial(async () => {
  const list = await get("/v1/timelines/statistics?last=100");
  medianBars.show(medians(list));
  rows("statistics", list.map(percentiles));
});

const fillForm = attempt(async () => {
  const [known, flavors, networks] = await Promise.all([get("/v1/images"), get("/v1/flavors"), get("/v1/networks")]);
  images = known;
  const chosen = [$("image").value || "clickos", $("flavor").value];
  $("image").replaceChildren(...images.map((i) => new Option(i.name)));
  $("flavor").replaceChildren(new Option("none", ""), ...flavors.map((f) => new Option(f.name)));
  [$("image").value, $("flavor").value] = chosen;
  put("known-networks", networks.length ? `There are: ${networks.map((n) => n.name).join(", ")}` : "There are no networks yet: the view “Network” makes one.");
  if (!$("networks").value && networks.length) $("networks").value = networks[0].name;
});
editor.onlyIf(() => (images.find((i) => i.name === $("image").value) || {}).config_format === "click");

const VIEWS = { instances: redraw, new: fillForm, network: drawNetwork, phases: drawPhases };
let seen = "instances";

function view(name) {
  seen = name;
  for (const section of document.querySelectorAll("section[data-view]")) section.hidden = section.dataset.view !== name;
  for (const tab of document.querySelectorAll("nav button")) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  }
  document.title = `${document.querySelector(`nav button[data-view=${name}]`).textContent} – MicroVisor node`;
  return VIEWS[name]();
}

let creating = false;
$("create").addEventListener("submit", async (e) => {
  e.preventDefault();
  if (creating) return;
  creating = true;
  const spec = { image: $("image").value, devices: editor.networks().map((network) => ({ network })), variables: editor.variables() };
  if ($("name").value) spec.name = $("name").value;
  if ($("config").value.trim()) spec.config = $("config").value;
  if ($("flavor").value) spec.flavor = $("flavor").value;
  if ($("idle").value) spec.on_demand = { idle_s: Number($("idle").value) };
  say("Starting …");
  try {
    const made = await ask("POST", "/v1/instances", spec);
    say(made.ready_ns ? `${made.name} is ready after ${ms(made.ready_ns)} ms.` : `${made.name} is ${made.state}.`);
    // Who went elsewhere meanwhile stays there.
    if (seen !== "new") return;
    view("instances");
    await details(made, true);
  } catch (problem) {
    if (problem.places && problem.places.length) editor.refuse(problem.places);
    say(problem.message, true);
  } finally { creating = false; }
});

$("add-network").addEventListener("submit", (e) => {
  e.preventDefault();
  attempt(async () => {
    const wished = { name: $("network-name").value };
    if ($("subnet").value) wished.subnet = $("subnet").value;
    if ($("gateway").value) wished.gateway = $("gateway").value;
    await ask("POST", "/v1/networks", wished);
    say(`Network ${wished.name} is there.`);
    $("add-network").reset();
    await drawNetwork();
  })();
});

$("percentiles-all").addEventListener("click", () => medianBars.whole());
for (const tab of document.querySelectorAll("nav button")) tab.addEventListener("click", () => view(tab.dataset.view));

/** Prepared guests, a sentence a shape. */
const drawPrepared = attempt(async () => {
  const { prepared_guests: shapes = [] } = await get("/v1/status");
  put("prepared", shapes.map((s) =>
    `${s.ready} of ${s.target} guests of ${s.image} with ${s.memory_mib} MiB and ${s.devices} ${s.devices === 1 ? "device" : "devices"} are prepared ` +
    `(${(s.resident / 2 ** 20).toFixed(1)} MiB in all); ${s.hits} starts took one, ${s.misses} found none, ${s.refills} were prepared.`).join(" "));
});

let begun = false, following = false, live = false, seconds = 0;

/** Events tell what changes; without them, and for what no event tells, a look now and then does. */
function look() {
  if (!begun || document.hidden) return;
  seconds += 1;
  if (seen === "instances") refresh();
  if (seen === "instances" && seconds % 2 === 0) drawPrepared();
  if (seen === "network" && seconds % 2 === 0) drawNetwork();
  if (!live && seen === "instances" && seconds % 5 === 0) redraw();
}
setInterval(look, 1000);

const begin = attempt(async () => {
  const status = await get("/v1/status");
  $("host").textContent = `${location.host}, version ${status.version}`;
  $("access").hidden = true;
  begun = true;
  say("");
  await view(seen);
  await drawPrepared();
  if (following) return;
  following = true;
  follow("/v1/events/watch", (event) => {
    if (event.kind.startsWith("instance.") || event.kind.startsWith("node.")) redraw();
    if (seen === "network") drawNetwork();
    if (seen === "new" && event.kind.startsWith("network.")) fillForm();
  }, (now) => {
    live = now;
    put("live", now ? "live" : "not connected: trying again");
    if (now) redraw();
  }).then(() => { following = false; });
});

denied(() => {
  begun = false;
  if (!$("access").hidden) return;
  $("access").hidden = false;
  $("token").focus();
});
$("access").addEventListener("submit", (e) => {
  e.preventDefault();
  useToken($("token").value.trim());
  begin();
});
begin();
