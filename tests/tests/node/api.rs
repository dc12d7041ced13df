//! The API against its own description: schemathesis makes requests of every kind from it, and checks the answers; a client
//! in Python is generated from it, and used.

use e2e::net::Namespace;
use e2e::node::Node;
use e2e::{ends_within, root, run};
use serde_json::json;
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longest time of the whole; it usually takes a tenth of it.
const DEADLINE: Duration = Duration::from_secs(240);
/// Requests that are named when it takes longer.
const SLOWEST: usize = 8;

/// What the node says of its slowest requests, answered or given up by their client.
fn slowest(log: &str) -> String {
    let took = |line: &str| line.split_once("took_us=")?.1.split_whitespace().next()?.parse::<u64>().ok();
    let mut lines: Vec<(u64, &str)> = log.lines().filter_map(|line| Some((took(line)?, line))).collect();
    lines.sort_unstable_by_key(|(took, _)| std::cmp::Reverse(*took));
    lines.iter().take(SLOWEST).map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn answers_are_as_described_whatever_is_asked() {
    let program = root().join("target/schemathesis/bin/schemathesis");
    if !program.exists() {
        return eprintln!("NOT RUN: schemathesis is not there: make test-packages");
    }
    // Images are asked to be fetched from addresses that somebody may have: from here, there is nobody.
    let node = Node::within(Namespace::new(), &["--listen", "127.0.0.1:0"]);
    let token = node.post("/v1/tokens", &json!({ "name": "fuzz", "role": "admin" })).is(201);
    let namespace = node.namespace.as_ref().expect("it has one");
    let mut command = namespace.command(&[&program.to_string_lossy()]);
    command.args(["run", &format!("http://127.0.0.1:{}/v1/openapi.json", node.port()), "--no-color"]);
    command.args([
        "--header",
        &format!("Authorization: Bearer {}", token["token"].as_str().unwrap_or_default()),
    ]);
    // Its own token is not to be deleted, a stream of events does not end, and OpenAPI cannot say all that a value must be.
    command.args(["--exclude-path", "/v1/tokens/{name}", "--exclude-path", "/v1/events/watch"]);
    command.args(["--exclude-checks", "positive_data_acceptance"]);
    // The same requests each time, unless another seed is asked for.
    let seed = std::env::var("SEED").unwrap_or_else(|_| "1".into());
    command.args(["--seed", &seed, "--max-examples", "20", "--request-timeout", "20"]);
    command.args(["--generation-database", "none"]);
    let said = node.folder.join("schemathesis.log");
    let output = File::create(&said).expect("a file");
    command.current_dir(&node.folder).stdin(Stdio::null()).stderr(output.try_clone().expect("a file"));
    let mut child = command.stdout(output).spawn().expect("it starts");
    let status = ends_within(&mut child, DEADLINE);
    let said = std::fs::read_to_string(said).unwrap_or_default();
    let slowest = slowest(&node.log());
    let status =
        status.unwrap_or_else(|| panic!("not in {DEADLINE:?}; the slowest requests:\n{slowest}{said}"));
    assert!(status.success(), "seed {seed}: {said}\nthe slowest requests:\n{slowest}");
    node.get("/v1/status").is(200);
}

/// What a program does with the generated client: its arguments are the node's address and a token.
const USE: &str = r#"
import sys
from generated.client import AuthenticatedClient
from generated.api.instances import instances_create, instances_delete, instances_list, instances_show
from generated.api.networks import networks_create
from generated.models import DeviceSpec, Instance, InstanceSpec, Network, Problem, State
client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
made = networks_create.sync(client=client, body=Network(name="blue", subnet="10.94.0.0/24"))
assert made.name == "blue", made
spec = InstanceSpec(name="one", image="hello", devices=[])
one = instances_create.sync(client=client, body=spec, defer=True, idempotency_key="once")
assert isinstance(one, Instance) and one.state == State.STOPPED, one
again = instances_create.sync(client=client, body=spec, defer=True, idempotency_key="once")
assert again.id == one.id, again
refused = instances_create.sync(client=client, body=InstanceSpec(name="one", devices=[DeviceSpec(network="none")]))
assert isinstance(refused, Problem) and refused.detail, refused
assert [i.name for i in instances_list.sync(client=client).instances] == ["one"]
assert instances_delete.sync_detailed("one", client=client).status_code == 204
gone = instances_show.sync("one", client=client)
assert isinstance(gone, Problem) and gone.status == 404, gone
"#;

#[test]
fn client_that_is_generated_from_the_description_works() {
    let tools = root().join("target/openapi-client/bin");
    if !tools.join("openapi-python-client").exists() {
        return eprintln!("NOT RUN: openapi-python-client is not there: make test-packages");
    }
    let node = Node::with(&["--listen", "127.0.0.1:0"]);
    let token = node.post("/v1/tokens", &json!({ "name": "generated", "role": "admin" })).is(201);
    let (description, package) = (node.folder.join("openapi.json"), node.folder.join("generated"));
    std::fs::write(&description, node.get("/v1/openapi.json").text).expect("there is room");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let mut generate = Command::new(tools.join("openapi-python-client"));
    generate.args(["generate", "--meta", "none", "--fail-on-warning", "--path"]).arg(&description);
    generate.arg("--output-path").arg(&package).env("PATH", &path);
    let outcome = run(&mut generate);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let script = node.folder.join("use.py");
    std::fs::write(&script, USE).expect("there is room");
    let mut python = Command::new(tools.join("python"));
    python.arg(&script).arg(format!("http://127.0.0.1:{}", node.port()));
    run(python.arg(token["token"].as_str().expect("a token"))).ends(0, "");
}
