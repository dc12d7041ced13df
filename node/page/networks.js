// Forms for networks: what is made, what may change while instances are on one, what goes.
import { ask } from "./api.js";
import { field, h, input, say, select } from "./dom.js";
import { form, sure } from "./popup.js";

const path = (n) => `/v1/networks/${encodeURIComponent(n.name)}`;
const number = (attributes) => input({ type: "number", ...attributes });

export function makeNetwork(then) {
  const name = input({ id: "network-name", required: "", maxlength: "63" }), subnet = input({ id: "subnet", placeholder: "10.0.0.0/24" }), gateway = input({ placeholder: "10.0.0.1" });
  const subnet6 = input({ placeholder: "fd00::/64" }), gateway6 = input({ placeholder: "fd00::1" }), address6 = input({ placeholder: "fd00::1/64" });
  const tap = input({ placeholder: "blue" }), address = input({ placeholder: "10.0.0.1/24" }), netns = input({ placeholder: "the daemon’s own" });
  const interfaces = input({ placeholder: "eth1, or eth1 eth2 for a bond" });
  const mode = select(["", "active-backup", "balance-xor", "broadcast", "802.3ad"]);
  const takeOver = h("input", { type: "checkbox" }), wire = h("input", { type: "checkbox" });
  const mtu = number({ min: "68", max: "65535", placeholder: "1500" }), flood = number({ min: "0", placeholder: "10000" });
  const fields = [
    h("div", { class: "fields" }, field("Name", name), field("Subnet", subnet), field("Gateway", gateway), field("IPv6 subnet", subnet6), field("IPv6 gateway", gateway6), field("MTU", mtu), field("Floods, packets/s", flood)),
    h("details", {}, h("summary", {}, "A port of the host"), h("div", { class: "fields" }, field("TAP", tap), field("Address", address), field("IPv6 address", address6), field("Namespace", netns))),
    h("details", {}, h("summary", {}, "An uplink, or a wire"), h("div", { class: "fields" }, field("Interfaces", interfaces), field("Bond", mode)), h("label", {}, takeOver, " takes the interface’s address over"), h("label", {}, wire, " joins just two ports")),
  ];
  form("New network", "Create", fields, async () => {
    const wished = { name: name.value };
    if (subnet.value) wished.subnet = subnet.value;
    if (gateway.value) wished.gateway = gateway.value;
    if (subnet6.value) wished.subnet6 = subnet6.value;
    if (gateway6.value) wished.gateway6 = gateway6.value;
    if (mtu.value) wished.mtu = Number(mtu.value);
    if (flood.value) wished.flood_limit = Number(flood.value);
    if (tap.value) wished.host = { tap: tap.value, ...(address.value && { address: address.value }), ...(address6.value && { address6: address6.value }), ...(netns.value && { netns: netns.value }) };
    if (interfaces.value.trim()) wished.uplink = { interfaces: interfaces.value.trim().split(/[\s,]+/), ...(mode.value && { mode: mode.value }), ...(netns.value && { netns: netns.value }), take_over: takeOver.checked };
    if (wire.checked) wished.point_to_point = true;
    await ask("POST", "/v1/networks", wished);
    say(`Network ${wished.name} is there.`);
    then();
  });
}

export function changeNetwork(n, then) {
  const gateway = input({ placeholder: "none" }), gateway6 = input({ placeholder: "none" }), flood = number({ min: "0", required: "" });
  [gateway.value, gateway6.value] = [n.gateway || "", n.gateway6 || ""];
  flood.value = n.flood_limit;
  form(`Change ${n.name}`, "Save", [field("Gateway", gateway, "of instances that are created from now on"), field("IPv6 gateway", gateway6), field("Floods, packets/s", flood, "that each port may send to everyone; 0: no limit")], async () => {
    await ask("PATCH", path(n), { gateway: gateway.value || null, gateway6: gateway6.value || null, flood_limit: Number(flood.value) }, "application/merge-patch+json");
    say(`${n.name} is changed.`);
    then();
  });
}

export async function deleteNetwork(n, then) {
  if (!await sure(`Delete ${n.name}?`, "Delete", [n.name], "The node refuses if instances are on it.")) return;
  await ask("DELETE", path(n));
  say(`Network ${n.name} is deleted.`);
  then();
}
