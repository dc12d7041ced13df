//! Faults: a node with traffic, to which one bad thing is done at a time, while two guests that behave well ping each other a
//! thousand times a second and count what is lost. The table of `docs/security.md` is what this prints.

use crate::stop;
use e2e::net::Namespace;
use e2e::node::{Node, spec};
use e2e::{eventually, program, run, signal};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long packets are counted for each fault.
const WINDOW: Duration = Duration::from_secs(3);
/// How far into it the fault happens.
const BEFORE: Duration = Duration::from_millis(500);
/// The guests that count. Each pings the other, a thousand times a second.
const GUESTS: [(&str, &str); 2] = [("one", "10.81.0.11"), ("two", "10.81.0.12")];
/// The guest that is attacked, or attacks.
const VICTIM: &str = "10.81.0.13";
/// Pings another guest and answers it.
const PINGS: &str = "
FromDevice(eth0) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800);
asks :: ARPQuerier(eth0:ip, eth0:eth) -> out :: Queue(4096) -> ToDevice(eth0);
kind [0] -> ARPResponder(eth0:ip eth0:eth) -> out;
kind [1] -> [1] asks;
kind [2] -> Strip(14) -> CheckIPHeader -> icmp :: IPClassifier(icmp type echo-reply, icmp type echo);
ping :: ICMPPingSource(eth0:ip, $peer, INTERVAL 0.001, VERBOSE false) -> asks;
icmp [0] -> ping;
icmp [1] -> ICMPPingResponder -> asks;
";
/// Sends frames to everybody, as fast as it can.
const FLOODS: &str = "
FromDevice(eth0) -> Discard;
InfiniteSource(LENGTH 46) -> UDPIPEncap(eth0:ip, 1, 10.81.0.255, 2) -> EtherEncap(0x0800, eth0:eth, ff:ff:ff:ff:ff:ff)
    -> Queue(64) -> ToDevice(eth0);
";

/// A node, its networks and its guests.
struct FaultTestbed {
    node: Node,
    /// The host of the guests' network.
    host: Namespace,
    state: PathBuf,
    /// What a fault has left running.
    children: Vec<Child>,
    /// Connections that a fault has left open.
    strangers: Vec<UnixStream>,
}

/// What is done, and how it is undone where it does not pass by itself.
struct Fault {
    name: &'static str,
    inject: fn(&mut FaultTestbed),
    revert: fn(&mut FaultTestbed),
}

fn no_op(_: &mut FaultTestbed) {}

const FAULTS: &[Fault] = &[
    Fault { name: "nothing", inject: no_op, revert: no_op },
    Fault {
        name: "the TAP of the host on the same network is deleted",
        inject: |site| site.host.ip(&["link", "delete", "blue"]),
        revert: |site| eventually("the TAP is back", || site.host.devices().contains("blue")),
    },
    Fault {
        name: "the namespace of another network is deleted",
        inject: |site| {
            // What it held goes with it at the end of this.
            let green = Namespace::new();
            let network = json!({ "name": "green", "subnet": "10.82.0.0/24",
                "host": { "tap": "green", "netns": green.name, "address": "10.82.0.1/24" } });
            site.node.post("/v1/networks", &network).is(201);
        },
        revert: |site| {
            site.node.ask("DELETE", "/v1/networks/green", None, &[]);
        },
    },
    Fault {
        name: "a guest on the same network no longer takes packets, and is flooded",
        inject: |site| {
            site.node.post("/v1/instances/victim/pause", &Value::Null).is(200);
            site.start_inside(&["ping", "-f", "-q", "-s", "1400", VICTIM]);
        },
        revert: |site| {
            site.end_children();
            site.node.post("/v1/instances/victim/resume", &Value::Null).is(200);
        },
    },
    Fault {
        name: "a guest on the same network floods it with broadcasts",
        inject: |site| {
            let devices = json!([{ "network": "blue", "address": "10.81.0.14" }]);
            let spec = json!({ "name": "flooder", "config": FLOODS, "devices": devices });
            site.node.post("/v1/instances", &spec).is(201);
        },
        revert: |site| {
            site.node.ask("DELETE", "/v1/instances/flooder?force=true", None, &[]).is(204);
        },
    },
    Fault {
        name: "a program that captures a port stops reading",
        inject: |site| {
            let port = site.victim()["devices"][0]["port"].as_str().unwrap_or_default().to_owned();
            let socket = site.node.folder.join("run/switch.sock");
            let mut command = Command::new(program("microvisor"));
            command.args(["switch", "capture", &port]).env("MICROVISOR_SWITCH", socket);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            match command.spawn() {
                Ok(child) => site.children.push(child),
                Err(e) => stop(&format!("{command:?}: {e}"), 1),
            }
            site.start_inside(&["ping", "-f", "-q", "-s", "1400", VICTIM]);
        },
        revert: FaultTestbed::end_children,
    },
    Fault {
        name: "a monitor is killed",
        inject: |site| signal(site.victim_pid(), "KILL"),
        revert: |site| eventually("it runs again", || site.victim()["state"] == "ready"),
    },
    Fault {
        name: "a monitor is stopped (SIGSTOP), and its guest flooded",
        inject: |site| {
            signal(site.victim_pid(), "STOP");
            site.start_inside(&["ping", "-f", "-q", "-s", "1400", VICTIM]);
        },
        revert: |site| {
            site.end_children();
            signal(site.victim_pid(), "CONT");
        },
    },
    Fault {
        name: "the node's daemon is killed and started again",
        inject: |site| {
            site.node.kill();
            site.node.start();
        },
        revert: no_op,
    },
    Fault { name: "the switch is killed", inject: |site| signal(site.switch(), "KILL"), revert: no_op },
    Fault {
        name: "1,024 strangers connect to the API and say nothing",
        inject: |site| site.strangers("run/api.sock"),
        revert: |site| site.strangers.clear(),
    },
    Fault {
        name: "1,024 strangers connect to the switch and say nothing",
        inject: |site| site.strangers("run/switch.sock"),
        revert: |site| site.strangers.clear(),
    },
    Fault {
        name: "the disk with the node's state is full",
        inject: |site| {
            let written = std::fs::File::create(site.state.join("fill"))
                .map(|mut file| while file.write_all(&[0; 4096]).is_ok() {});
            written.unwrap_or_else(|e| stop(&format!("{}: {e}", site.state.display()), 1));
            site.node.post("/v1/instances?defer=true", &json!({ "name": "x", "config": "Idle -> Discard;" }));
        },
        revert: |site| {
            let _ = std::fs::remove_file(site.state.join("fill"));
            site.node.ask("DELETE", "/v1/instances/x?force=true", None, &[]);
        },
    },
    Fault {
        name: "a hundred instances are created and deleted",
        inject: |site| {
            for n in 0..100 {
                let name = format!("n{n}");
                let spec =
                    spec("firewall.click", &json!({ "name": name, "devices": [{ "network": "blue" }] }));
                site.node.post("/v1/instances", &spec).is(201);
                let path = format!("/v1/instances/{name}?force=true");
                site.node.ask("DELETE", &path, None, &[]).is(204);
            }
        },
        revert: no_op,
    },
];

impl FaultTestbed {
    fn new() -> Self {
        let node = Node::idle(program("microvisor-node"), &[]);
        let (state, host) = (node.folder.join("state"), Namespace::new());
        let mut new = Self { node, host, state, children: Vec::new(), strangers: Vec::new() };
        std::fs::create_dir(&new.state).unwrap_or_else(|e| stop(&format!("{}: {e}", new.state.display()), 1));
        let mounted =
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&new.state));
        if mounted.status != 0 {
            stop(&format!("mount: {}", mounted.err), 1);
        }
        new.node.start();
        let network = json!({ "name": "blue", "subnet": "10.81.0.0/24",
            "host": { "tap": "blue", "netns": new.host.name, "address": "10.81.0.1/24" } });
        new.node.post("/v1/networks", &network).is(201);
        let device = |address: &str| json!([{ "network": "blue", "address": address }]);
        for ((name, address), (_, peer)) in GUESTS.into_iter().zip(GUESTS.into_iter().rev()) {
            let spec = json!({ "name": name, "config": PINGS, "variables": { "peer": peer }, "devices": device(address) });
            new.node.post("/v1/instances", &spec).is(201);
        }
        let victim = json!({ "name": "victim", "restart": "always", "devices": device(VICTIM) });
        new.node.post("/v1/instances", &spec("firewall.click", &victim)).is(201);
        new
    }

    fn victim(&self) -> Value {
        self.node.get("/v1/instances/victim").json
    }

    fn victim_pid(&self) -> u32 {
        self.victim()["pid"].as_u64().unwrap_or_else(|| stop("the victim does not run", 1)) as u32
    }

    fn switch(&self) -> u32 {
        let pid = self.node.get("/v1/status").json["switch"].as_u64();
        pid.unwrap_or_else(|| stop("the switch does not run", 1)) as u32
    }

    fn start_inside(&mut self, words: &[&str]) {
        let mut command = self.host.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => self.children.push(child),
            Err(e) => stop(&format!("{command:?}: {e}"), 1),
        }
    }

    fn end_children(&mut self) {
        for mut child in self.children.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn strangers(&mut self, socket: &str) {
        let path = self.node.folder.join(socket);
        self.strangers = (0..1024).map_while(|_| UnixStream::connect(&path).ok()).collect();
    }

    fn handler(&self, guest: &str, name: &str) -> f64 {
        let answer = self.node.get(&format!("/v1/instances/{guest}/handlers/ping.{name}"));
        let value = answer.json["value"].as_str().and_then(|text| text.trim().parse().ok());
        value.unwrap_or_else(|| stop(&format!("{guest}: ping.{name}: {answer:?}"), 1))
    }

    /// What the guests sent and lost while something was done, and the longest that an answer took, milliseconds.
    fn measure(&mut self, fault: &Fault) -> [f64; 3] {
        for (guest, _) in GUESTS {
            let path = format!("/v1/instances/{guest}/handlers/ping.reset_counts");
            self.node.ask("PUT", &path, Some(&json!({ "value": "" })), &[]);
        }
        let begun = Instant::now();
        std::thread::sleep(BEFORE);
        (fault.inject)(self);
        std::thread::sleep(WINDOW.saturating_sub(begun.elapsed()));
        (fault.revert)(self);
        let mut result = [0.0; 3];
        for (guest, _) in GUESTS {
            let (sent, answered) = (self.handler(guest, "count"), self.handler(guest, "received"));
            result[0] += sent;
            // The last may still be on its way.
            result[1] += (sent - answered - 1.0).max(0.0);
            result[2] = result[2].max(self.handler(guest, "rtt_max") * 1e3);
        }
        result
    }
}

impl Drop for FaultTestbed {
    fn drop(&mut self) {
        self.end_children();
        for instance in self.node.get("/v1/instances").json["instances"].as_array().into_iter().flatten() {
            let path = format!("/v1/instances/{}?force=true", instance["id"].as_str().unwrap_or_default());
            self.node.ask("DELETE", &path, None, &[]);
        }
        self.node.end();
        run(Command::new("umount").arg("-l").arg(&self.state));
    }
}

/// Prints the table.
pub fn main() {
    let mut site = FaultTestbed::new();
    for (guest, _) in GUESTS {
        eventually("the guests hear each other", || site.handler(guest, "received") > 100.0);
    }
    println!("| fault | pings | lost | longest round trip, ms |\n|---|---|---|---|");
    for fault in FAULTS {
        let [sent, lost, longest] = site.measure(fault);
        println!("| {} | {sent} | {lost} | {longest:.1} |", fault.name);
        // What it left behind has passed before the next.
        std::thread::sleep(Duration::from_secs(1));
    }
}
