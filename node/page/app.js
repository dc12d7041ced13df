// The page: who we are, which view is shown, and what happens when the node does not answer.
import { follow, forgetToken, get, hasToken, link, useToken, whenDenied, whenLink } from "./api.js";
import { happened, may, node, reload, tell, watchUsage } from "./data.js";
import { $, attempt, put, say } from "./dom.js";
import { Create } from "./create.js";
import { Events } from "./events.js";
import { moment } from "./format.js";
import { Instances } from "./instances.js";
import { Network } from "./network.js";
import { Overview } from "./overview.js";
import { here, whenMoved } from "./route.js";
import { flavors, images, tokens } from "./things.js";

const VIEWS = {
  overview: { title: "Overview", make: () => new Overview() },
  instances: { title: "Instances", make: () => new Instances() },
  new: { title: "New instance", make: () => new Create(), role: "operate" },
  network: { title: "Network", make: () => new Network() },
  images: { title: "Images", make: images },
  flavors: { title: "Flavors", make: flavors },
  events: { title: "Events", make: () => new Events() },
  tokens: { title: "Tokens", make: tokens, role: "admin" },
};
const made = new Map();
let current = null, begun = false, following = false;

/** Shows what the address says. Views are made when they are first looked at. */
function show() {
  if (!begun) return;
  const { view: name, at } = here();
  const known = Object.hasOwn(VIEWS, name) ? name : "overview", { title, role, make } = VIEWS[known];
  const allowed = !role || may(role);
  if (allowed && !made.has(known)) made.set(known, make());
  const view = allowed ? made.get(known) : null;
  if (view !== current || !view) {
    current = view;
    if (view) $("main").replaceChildren(view.element);
    else $("main").textContent = `This takes the role ${role}; the token’s role is ${node.role}.`;
    $("main").scrollTop = 0;
    say("");
  }
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === known || (known === "new" && link.dataset.view === "instances")) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  const open = known === "instances" && at.get("open");
  document.title = `${open ? `${open} – ` : ""}${title} – MicroVisor ${location.host}`;
  view?.show(at);
}

/** During an outage everything stays as it was last seen, and says so. */
whenLink((up) => {
  document.body.classList.toggle("lost", !up);
  $("outage").hidden = up;
  put($("outage"), up ? "" : `The node has not answered since ${moment(link.lost * 1e6)}. What is shown is from then; actions wait until it is back.`);
  put($("live"), up ? "connected" : "not connected");
  tell("link");
  if (up && begun) { tell("instances"); show(); }
});

/** Reads everything: the stream of events has begun. */
const recover = attempt(async () => {
  await whoWeAre();
  await reload();
  put($("live"), "live");
  current?.again?.();
  show();
});

async function whoWeAre() {
  const [access, status] = await Promise.all([get("/v1/access"), get("/v1/status")]);
  Object.assign(node, { role: access.role, token: access.token, status });
  put($("host"), location.host);
  put($("who"), access.token ? `${access.token} (${access.role})` : access.role);
  $("host").title = `version ${status.version}`;
  for (const link of document.querySelectorAll("nav a")) link.hidden = !may(VIEWS[link.dataset.view].role || "read");
}

const begin = attempt(async () => {
  await whoWeAre();
  $("access").hidden = true;
  $("leave").hidden = !node.token;
  say("");
  begun = true;
  show();
  if (following) return;
  following = true;
  follow((event) => {
    happened(event);
    current?.happened?.(event);
  }, recover).then(() => { following = false; });
});

whenDenied(() => {
  begun = node.loaded = false;
  current = null;
  if (!$("access").hidden) return;
  if (hasToken()) say("The node does not know this token.", true);
  $("access").hidden = false;
  $("main").replaceChildren();
  $("token").focus();
});
$("access").addEventListener("submit", (e) => {
  e.preventDefault();
  useToken($("token").value.trim());
  // Everything anew: what a view offers depends on the role.
  location.reload();
});
$("leave").addEventListener("click", () => { forgetToken(); location.reload(); });
document.querySelector(".skip").addEventListener("click", (e) => { e.preventDefault(); $("main").focus(); });
$("dismiss").addEventListener("click", () => say(""));
whenMoved(show);
watchUsage();
begin();
