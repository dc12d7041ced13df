//! `/metrics`, and what is made of it: alert rules and a dashboard.

use e2e::node::{Node, spec};
use e2e::{root, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn example(name: &str) -> PathBuf {
    root().join("examples/monitoring").join(name)
}

fn promtool(words: &[&str]) -> Command {
    let mut command = Command::new("promtool");
    command.args(words).current_dir(example(""));
    command
}

/// Families of ours that a text names.
fn families(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("microvisor_")).collect()
}

#[test]
fn numbers_are_as_prometheus_reads_them_and_name_instances_with_their_labels() {
    // With a collector, which need not be there, all families are.
    let node = Node::with(&["--otlp", "http://127.0.0.1:1"]);
    node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.0.0.0/24" })).is(201);
    let labels = json!({ "app": "edge \"fw\"", "app.io/part": "x" });
    node.post("/v1/instances", &spec("firewall.click", &json!({ "name": "fw", "labels": labels }))).is(201);
    let text = node.get("/metrics").text;
    let checked = {
        let mut command = promtool(&["check", "metrics"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        e2e::finish(child)
    };
    assert_eq!((checked.status, checked.err.as_str()), (0, ""), "{text}");
    let has = |begin: &str| assert!(text.lines().any(|l| l.starts_with(begin)), "{begin}: {text}");
    has(
        "microvisor_instance_info{name=\"fw\",image=\"clickos\",state=\"ready\",label_app=\"edge \\\"fw\\\"\",label_app_io_part=\"x\"} 1",
    );
    has("microvisor_instance_cpu_seconds_total{name=\"fw\"} ");
    has("microvisor_start_seconds_count{prepared=\"false\"} 1");
    has("microvisor_start_phase_seconds_bucket{phase=\"boot\",prepared=\"false\",le=\"+Inf\"} 1");
    has("microvisor_instance_restarts_total{name=\"fw\"} 0");
    let of_port = text.lines().find(|l| l.starts_with("microvisor_port_sent_packets_total{"));
    assert!(of_port.is_some_and(|l| l.contains("name=\"fw\",network=\"blue\"")), "{text}");

    // What rules, dashboard and manual name is there.
    let there = families(&text);
    for file in ["examples/monitoring/alerts.yml", "examples/monitoring/dashboard.json", "docs/monitoring.md"]
    {
        let read = fs::read_to_string(root().join(file)).expect("it is there");
        let unknown: Vec<&str> = families(&read).difference(&there).copied().collect();
        assert_eq!(unknown, Vec::<&str>::new(), "{file}");
    }
    // And the manual leaves none out, but for those that it shortens.
    let manual = fs::read_to_string(root().join("docs/monitoring.md")).expect("it is there");
    let short = ["_bytes_total", "_bucket", "_sum", "_count"];
    let whole = |family: &&&str| !short.iter().any(|end| family.ends_with(end));
    let missing: Vec<&str> = there.difference(&families(&manual)).filter(whole).copied().collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn alert_rules_are_valid_and_say_what_they_shall() {
    run(&mut promtool(&["check", "rules", "alerts.yml"])).ends(0, "");
    run(&mut promtool(&["test", "rules", "alerts.test.yml"])).ends(0, "");
    let read = fs::read_to_string(example("dashboard.json")).expect("it is there");
    let dashboard: Value = serde_json::from_str(&read).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 10));
}
