//! `microvisor` against a node: what it shows is what the API says, and it does what the API does.

use crate::site::Site;
use e2e::net::Namespace;
use e2e::node::Node;
use e2e::{root, run};
use serde_json::Value;
use std::process::Command;

#[test]
fn commands_show_what_the_node_does() {
    let site = Site::new();
    site.create("fw", &Value::Null);
    let command = |words: &[&str]| {
        let mut command = Command::new(e2e::program("microvisor"));
        command.args(words).env("MICROVISOR_NODE", site.node.folder.join("run/api.sock"));
        let outcome = run(&mut command);
        assert_eq!(outcome.status, 0, "{words:?}: {outcome:?}");
        outcome.out
    };
    let top = command(&["top", "-n", "2", "-i", "0.2"]);
    assert!(top.contains("CPU %") && top.contains("fw") && top.contains("ready"), "{top}");
    assert!(command(&["timeline", "fw"]).contains("spawn"));
    let chrome: Value = serde_json::from_str(&command(&["timeline", "fw", "--chrome-trace"])).expect("JSON");
    assert!(chrome["traceEvents"].as_array().is_some_and(|e| e.iter().any(|e| e["name"] == "boot")));
    let otlp: Value = serde_json::from_str(&command(&["timeline", "fw", "--otlp"])).expect("JSON");
    let spans = &otlp["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!(spans[0]["name"], "instantiation");
    command(&["pause", "fw"]);
    command(&["resume", "fw"]);
    assert!(command(&["token", "create", "t", "--role", "operate"]).starts_with("mv-"));
    assert!(command(&["token", "ls"]).contains("operate"));
    assert!(command(&["completion", "bash"]).contains("microvisor"));
    let folder = site.node.folder.join("man");
    std::fs::create_dir(&folder).expect("new");
    command(&["man", folder.to_str().expect("a path")]);
    assert!(folder.join("microvisor-timeline.1").is_file());
}

#[test]
fn the_commands_do_what_the_api_does() {
    let (node, host) = (Node::new(), Namespace::new());
    let microvisor = |line: &str| {
        let mut command = Command::new(e2e::program("microvisor"));
        command.args(line.split(' ')).current_dir(root());
        command.env("MICROVISOR_NODE", node.folder.join("run/api.sock"));
        run(command.env("MICROVISOR_RUN_DIR", node.folder.join("alone")))
    };
    let says = |line: &str, words: &[&str]| {
        let outcome = microvisor(line);
        assert_eq!(outcome.status, 0, "{line}: {outcome:?}");
        assert!(words.iter().all(|w| outcome.out.contains(w)), "{line}: {outcome:?}");
    };
    let network = "--subnet 10.81.1.0/24 --gateway 10.81.1.1 --host green --address 10.81.1.1/24";
    says(&format!("net create green {network} --netns {}", host.name), &[]);
    says("net ls", &["green", "10.81.1.0/24"]);
    says("run examples/firewall.click --network green", &["firewall ready", "10.81.1.2"]);
    assert!(host.pings("10.81.1.2", 3));
    says("ps", &["firewall", "ready", "green=10.81.1.2"]);
    says("click firewall read ping.count", &[]);
    says("timeline firewall", &["network", "first-packet"]);
    says("timeline --stats", &["PHASE", "total"]);
    says("stop firewall", &[]);
    says("ps", &["stopped"]);
    says("start firewall", &[]);
    says("reboot firewall", &[]);
    assert!(host.pings("10.81.1.2", 3));
    says("logs firewall", &[]);
    says("image ls", &["clickos", "built in"]);
    says("image import target/images/hello --name mine", &[]);
    says("image rm mine", &[]);
    says("events", &["instance.ready", "network.created"]);
    microvisor("net rm green").ends(124, "firewall is on network green");
    microvisor("rm firewall").ends(124, "force");
    says("rm -f firewall", &[]);
    microvisor("stop firewall").ends(124, "no instance named firewall");
    microvisor("run nonsense --network green").ends(124, "no image named nonsense");
    says("net rm green", &[]);
}

#[test]
fn nonsense_is_refused_with_words() {
    let node = |arguments: &[&str]| run(Command::new(e2e::program("microvisor-node")).args(arguments));
    node(&["--config", "/nonexistent"]).ends(122, "/nonexistent");
    node(&["--nonsense"]).ends(122, "unexpected argument");
    node(&["--check", "--run", &"x".repeat(100)]).ends(122, "too long");
    assert!(node(&["--openapi"]).out.contains("\"openapi\": \"3.1.0\""));
}
