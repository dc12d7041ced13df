//! The daemon dies at each step between what it writes down and what it does, and is started again: every instance becomes
//! what it was last asked to be, none is lost or doubled, and nothing is left. `docs/node.md` lists the steps.

use e2e::net::Namespace;
use e2e::node::{Node, spec};
use e2e::{eventually, root, run};
use serde_json::{Value, json};
use std::process::Command;

/// A node whose daemon can die, with a network that a namespace is on.
struct Site {
    node: Node,
    host: Namespace,
}

/// Steps of a start.
const START: [&str; 5] =
    ["start::intended", "start::ports", "start::spawned", "start::recorded", "start::ready"];
/// Steps of a stop.
const STOP: [&str; 5] = ["intended", "stop::stopping", "stop::asked", "end::seen", "end::cleaned"];

impl Site {
    fn new(options: &[&str]) -> Self {
        let (node, host) = (Node::with_failpoints(options), Namespace::new());
        let network = json!({ "name": "blue", "subnet": "10.82.0.0/24", "gateway": "10.82.0.1",
            "host": { "tap": "blue", "netns": host.name, "address": "10.82.0.1/24" } });
        node.post("/v1/networks", &network).is(201);
        Self { node, host }
    }

    fn create(&self, more: &Value) -> Value {
        self.node.post("/v1/instances", &firewall(more)).is(201)
    }

    fn instance(&self) -> Value {
        self.node.get("/v1/instances/fw").json
    }

    fn act(&self, what: &str) {
        self.node.post(&format!("/v1/instances/fw/{what}"), &Value::Null);
    }

    #[track_caller]
    fn becomes(&self, at: &str, state: &str) -> Value {
        eventually(&format!("it is {state} after a death at {at}"), || self.instance()["state"] == state);
        self.instance()
    }

    fn answers(&self) -> bool {
        self.host.pings("10.82.0.2", 2)
    }

    /// The daemon dies at a step of what is done, and is started again.
    #[track_caller]
    fn dies_at(&mut self, failpoint: &str, act: impl FnOnce(&Self)) {
        self.node.arm(failpoint);
        act(self);
        self.node.dies();
        self.node.start();
    }

    /// Exactly so many monitors are there with all that belongs to them.
    #[track_caller]
    fn has(&self, at: &str, monitors: usize, prepared: usize) {
        let entries = || std::fs::read_dir(self.node.folder.join("run/i")).map_or(0, Iterator::count);
        let ports = || {
            let status = self.node.get("/v1/switch").json;
            let names = status["ports"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str());
            names.filter(|name| *name != "blue-host").count()
        };
        let mut now = [0; 4];
        let all = monitors + prepared;
        let wanted = [all, all * self.node.groups_of_one(), all, monitors];
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while now != wanted {
            now = [self.node.monitors().len(), self.node.groups(), entries(), ports()];
            let over = std::time::Instant::now() > deadline;
            assert!(
                !over || now == wanted,
                "{at}: processes, groups, folders, ports: {now:?}, not {wanted:?}"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn delete(&self, at: &str) {
        self.node.ask("DELETE", "/v1/instances/fw?force=true", None, &[]).is(204);
        self.has(at, 0, 0);
    }
}

fn firewall(more: &Value) -> Value {
    let mut spec = spec("firewall.click", more);
    spec["name"] = "fw".into();
    spec
}

#[test]
fn creation_is_brought_to_its_end() {
    let mut site = Site::new(&[]);
    for at in ["create::kept"].iter().chain(&START) {
        site.dies_at(at, |s| drop(s.node.post("/v1/instances", &firewall(&Value::Null))));
        site.becomes(at, "ready");
        assert!(site.answers(), "{at}");
        site.has(at, 1, 0);
        site.delete(at);
    }
}

#[test]
fn start_of_a_prepared_guest_is_not_doubled() {
    let mut site = Site::new(&["--prepared", "1"]);
    for at in ["start::taken"].into_iter().chain(START) {
        site.node.arm(at);
        eventually("a guest is prepared", || site.node.get("/v1/status").json["prepared"] == 1);
        site.node.post("/v1/instances", &firewall(&Value::Null));
        site.node.dies();
        site.node.start();
        site.becomes(at, "ready");
        assert!(site.answers(), "{at}");
        site.has(at, 1, 1);
        site.node.ask("DELETE", "/v1/instances/fw?force=true", None, &[]).is(204);
        site.has(at, 0, 1);
    }
}

#[test]
fn stop_is_brought_to_its_end() {
    let mut site = Site::new(&[]);
    for at in STOP {
        site.create(&json!({ "restart": "always" }));
        site.dies_at(at, |s| s.act("stop"));
        site.becomes(at, "stopped");
        site.has(at, 0, 0);
        site.act("start");
        site.becomes(at, "ready");
        site.delete(at);
    }
}

#[test]
fn pause_and_resume_are_brought_to_their_ends() {
    let mut site = Site::new(&[]);
    site.create(&Value::Null);
    for at in ["intended", "pause::done"] {
        site.dies_at(at, |s| s.act("pause"));
        site.becomes(at, "paused");
        assert!(!site.host.pings("10.82.0.2", 1), "{at}");
        site.dies_at(at, |s| s.act("resume"));
        site.becomes(at, "ready");
        assert!(site.answers(), "{at}");
    }
    site.has("the end", 1, 0);
    site.delete("the end");
}

#[test]
fn reboot_is_brought_to_its_end() {
    let mut site = Site::new(&[]);
    for at in STOP.iter().chain(&START[..4]) {
        let before = site.create(&Value::Null);
        site.dies_at(at, |s| s.act("reboot"));
        eventually(&format!("another run is ready after a death at {at}"), || {
            let now = site.instance();
            now["state"] == "ready" && now["pid"] != before["pid"]
        });
        assert!(site.answers(), "{at}");
        site.has(at, 1, 0);
        site.delete(at);
    }
}

#[test]
fn deletion_is_brought_to_its_end() {
    let mut site = Site::new(&[]);
    for at in ["intended", "kill::sent", "end::seen", "end::cleaned", "delete::removed"] {
        site.create(&json!({ "restart": "always" }));
        site.dies_at(at, |s| drop(s.node.ask("DELETE", "/v1/instances/fw?force=true", None, &[])));
        eventually(&format!("it is gone after a death at {at}"), || {
            site.node.get("/v1/instances/fw").status == 404
        });
        site.has(at, 0, 0);
        // Its name and its address are free again.
        assert_eq!(site.create(&Value::Null)["devices"][0]["address"], "10.82.0.2", "{at}");
        site.delete(at);
    }
}

#[test]
fn another_configuration_runs_and_is_kept_or_neither() {
    let mut site = Site::new(&[]);
    let other = std::fs::read_to_string(root().join("examples/firewall.click")).expect("an example");
    let body = json!({ "config": format!("{other}\nextra :: Counter;\nIdle -> extra -> Discard;") });
    for at in ["intended", "swap::done"] {
        site.create(&Value::Null);
        site.dies_at(at, |s| drop(s.node.ask("PUT", "/v1/instances/fw/config", Some(&body), &[])));
        let runs = |site: &Site| site.node.get("/v1/instances/fw/handlers/extra.count").status == 200;
        eventually(&format!("it runs after a death at {at}"), || runs(&site));
        site.act("reboot");
        site.becomes(at, "ready");
        assert!(runs(&site), "{at}");
        site.delete(at);
    }
}

#[test]
fn instance_on_demand_waits_and_is_woken() {
    let mut site = Site::new(&[]);
    let demand = firewall(&json!({ "on_demand": { "idle_s": 3600 } }));
    for at in ["create::kept", "intended", "wait::announced"] {
        site.dies_at(at, |s| drop(s.node.post("/v1/instances", &demand)));
        site.becomes(at, "waiting");
        site.has(at, 0, 0);
        assert!(site.answers(), "{at}");
        site.becomes(at, "ready");
        site.has(at, 1, 0);
        site.delete(at);
    }
    // Woken, it dies at a step of its start.
    for at in START {
        site.create(&json!({ "on_demand": { "idle_s": 3600 } }));
        site.dies_at(at, |s| {
            s.host.pings("10.82.0.2", 1);
        });
        site.becomes(at, "ready");
        assert!(site.answers(), "{at}");
        site.has(at, 1, 0);
        site.delete(at);
    }
}

#[test]
fn retired_instance_waits_again() {
    let mut site = Site::new(&[]);
    for at in STOP.iter().chain(&["wait::announced"]) {
        site.create(&json!({ "on_demand": { "idle_s": 1 } }));
        assert!(site.answers(), "{at}");
        site.dies_at(at, |_| {});
        site.becomes(at, "waiting");
        site.has(at, 0, 0);
        assert!(site.answers(), "{at}");
        site.delete(at);
    }
}

#[test]
fn networks_are_made_and_removed_as_asked() {
    let mut site = Site::new(&[]);
    let red = json!({ "name": "red", "subnet": "10.83.0.0/24",
        "host": { "tap": "red", "netns": site.host.name, "address": "10.83.0.1/24" } });
    for at in ["network::kept", "network::applied"] {
        site.dies_at(at, |s| drop(s.node.post("/v1/networks", &red)));
        site.node.get("/v1/networks/red").is(200);
        assert!(site.host.devices().contains("red"), "{at}");
        site.node.ask("DELETE", "/v1/networks/red", None, &[]).is(204);
    }
    for at in ["network::forgotten", "network::removed"] {
        site.node.post("/v1/networks", &red).is(201);
        site.dies_at(at, |s| drop(s.node.ask("DELETE", "/v1/networks/red", None, &[])));
        site.node.get("/v1/networks/red").is(404);
        assert!(!site.host.devices().contains("red"), "{at}");
    }
}

#[test]
fn unfinished_import_leaves_no_file() {
    let mut site = Site::new(&[]);
    let hello = root().join("target/images/hello").display().to_string();
    let import = |s: &Site| {
        let mut command = Command::new("curl");
        command.args(["-s", "--unix-socket"]).arg(s.node.folder.join("run/api.sock"));
        run(command.args(["--data-binary", &format!("@{hello}"), "http://node/v1/images?name=mine"]));
    };
    let files = |s: &Site| std::fs::read_dir(s.node.folder.join("state/images")).map_or(0, Iterator::count);
    for (at, kept) in [("image::written", 0), ("image::kept", 1)] {
        site.dies_at(at, import);
        assert_eq!(files(&site), kept, "{at}");
        let listed = site.node.get("/v1/images").json;
        let is_mine = |image: &Value| image["name"] == "mine";
        assert_eq!(listed.as_array().into_iter().flatten().filter(|i| is_mine(i)).count(), kept, "{at}");
    }
}
