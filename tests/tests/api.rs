//! The API against its own description: schemathesis makes requests of every kind from it, and checks the answers.

use e2e::node::Node;
use e2e::{finish_within, root, start};
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn answers_are_as_described_whatever_is_asked() {
    let program = root().join("target/schemathesis/bin/schemathesis");
    if !program.exists() {
        return eprintln!("NOT RUN: schemathesis is not there: make test-packages");
    }
    let node = Node::with(&["--listen", "127.0.0.1:0"]);
    let token = node.post("/v1/tokens", &json!({ "name": "fuzz", "role": "admin" })).is(201);
    let mut command = Command::new(program);
    command.args(["run", &format!("http://127.0.0.1:{}/v1/openapi.json", node.port()), "--no-color"]);
    command.args([
        "--header",
        &format!("Authorization: Bearer {}", token["token"].as_str().unwrap_or_default()),
    ]);
    // Its own token is not to be deleted, a stream of events does not end, and OpenAPI cannot say all that a value must be.
    command.args(["--exclude-path", "/v1/tokens/{name}", "--exclude-path", "/v1/events/watch"]);
    command.args(["--exclude-checks", "positive_data_acceptance"]);
    command.args(["--max-examples", "20", "--request-timeout", "20", "--generation-database", "none"]);
    command.current_dir(&node.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = finish_within(start(&mut command), Duration::from_secs(300));
    assert_eq!(outcome.status, 0, "{}\n{}", outcome.out, outcome.err);
    node.get("/v1/status").is(200);
}
