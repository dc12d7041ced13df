//! A monitor that its guest has taken over, against the daemon: answers a byte at a time or without an end, a report
//! without an end. No instance keeps another waiting, none keeps its own end waiting, and the daemon stays small.

use e2e::node::Node;
use e2e::{eventually, program, unique};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A program in the monitor's place: it says that its guest is ready, and then does what `ANSWERS` and `REPORTS` say.
const HOSTILE: &str = r#"#!/usr/bin/python3
import json, os, socket, sys, threading, time
words = sys.argv[1:]
of = lambda name: words[words.index(name) + 1]
report = os.open(of("--report"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
listener = socket.socket(socket.AF_UNIX)
listener.bind(of("--control"))
listener.listen(64)
ready = {"report": "ready", "timeline": {"origin": 0, "tsc_hz": 1000000000, "spans": []}}
os.write(report, json.dumps(ready).encode() + b"\n")
def serve(one):
    try:
        while ANSWERS == "slow":
            one.send(b" ")
            time.sleep(1)
        while ANSWERS == "endless":
            one.send(b" " * 65536)
        time.sleep(600)
    except OSError:
        pass
def reports():
    while REPORTS == "endless":
        os.write(report, b"x" * 65536)
        time.sleep(0.002)
threading.Thread(target=reports, daemon=True).start()
while True:
    one, _ = listener.accept()
    threading.Thread(target=serve, args=(one,), daemon=True).start()
"#;

/// A node whose monitors are hostile.
struct Site {
    node: Node,
    folder: PathBuf,
}

impl Site {
    fn new(answers: &str, reports: &str) -> Self {
        // The node looks for the other programs beside itself.
        let folder = std::env::temp_dir().join(unique("hm"));
        std::fs::create_dir(&folder).expect("new");
        for name in ["microvisor-node", "microvisor-switch"] {
            std::fs::copy(program(name), folder.join(name)).expect("there is room");
        }
        let text =
            HOSTILE.replace("ANSWERS", &format!("{answers:?}")).replace("REPORTS", &format!("{reports:?}"));
        let monitor = folder.join("microvisor-vmm");
        std::fs::write(&monitor, text).expect("there is room");
        std::fs::set_permissions(&monitor, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let mut node = Node::idle(folder.join("microvisor-node"), &[]);
        node.start();
        Self { node, folder }
    }

    fn create(&self, name: &str) {
        self.node.post("/v1/instances", &json!({ "name": name, "image": "hello" })).is(201);
    }

    /// Memory of the daemon, MiB.
    fn resident(&self) -> u64 {
        let pid = self.node.get("/v1/status").json["pid"].to_string();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    fn removes(&self, name: &str) {
        let begun = Instant::now();
        self.node.ask("DELETE", &format!("/v1/instances/{name}?force=true"), None, &[]).is(204);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        eventually("its monitor is gone", || self.node.monitors().is_empty());
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn forced_deletion_does_not_wait_for_a_monitor_that_answers_a_byte_at_a_time() {
    let site = Site::new("slow", "none");
    site.create("owned");
    std::thread::scope(|scope| {
        // More than an actor keeps of what it is still to do.
        for _ in 0..20 {
            scope.spawn(|| site.node.post("/v1/instances/owned/pause", &Value::Null));
        }
        std::thread::sleep(Duration::from_millis(500));
        site.removes("owned");
    });
}

#[test]
fn an_exchange_has_one_deadline_and_a_stop_its_grace() {
    let site = Site::new("slow", "none");
    site.create("owned");
    let begun = Instant::now();
    assert!(site.node.post("/v1/instances/owned/pause", &Value::Null).status >= 400);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let begun = Instant::now();
    site.node.post("/v1/instances/owned/stop?grace_ms=100", &Value::Null).is(200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    site.removes("owned");
}

#[test]
fn answers_and_reports_without_an_end_cost_the_daemon_nothing() {
    for (answers, reports) in [("endless", "none"), ("none", "endless")] {
        let site = Site::new(answers, reports);
        site.create("owned");
        let before = site.resident();
        if reports == "none" {
            let answer = site.node.post("/v1/instances/owned/pause", &Value::Null);
            assert!(answer.status >= 400, "{answer:?}");
            assert!(site.node.get("/v1/instances/owned/inspect").status >= 400);
        } else {
            eventually("it is ended", || site.node.get("/v1/instances/owned").json["state"] == "failed");
            let now = site.node.get("/v1/instances/owned").json;
            assert!(now["reason"].as_str().is_some_and(|r| r.contains("report")), "{now}");
        }
        assert!(site.resident() < before + 64, "{before} MiB, then {}", site.resident());
        site.removes("owned");
    }
}
