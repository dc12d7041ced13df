//! Traces of starts at an OpenTelemetry collector: one that is told to come again, one that never answers, none at all.

use e2e::eventually;
use e2e::node::{Node, spec};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Takes one request: what it asks for and its body.
fn request(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first.trim().to_owned(), body))
}

/// A collector that answers with these statuses in turn, and then with 200 for ever.
fn collector(statuses: &'static [u16]) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (to, received): (Sender<_>, _) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let Some((what, body)) = request(&stream) else { continue };
            let status = statuses.get(number).copied().unwrap_or(200);
            let _ =
                write!(&stream, "HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            let body = serde_json::from_slice(&body).unwrap_or_default();
            if to.send((what, body)).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn create(node: &Node, name: &str, header: &str) {
    let spec = spec("mirror.click", &json!({ "name": name }));
    node.ask("POST", "/v1/instances", Some(&spec), &[header]).is(201);
}

/// All spans of a request.
fn spans(body: &Value) -> Vec<&Value> {
    let scopes = body["resourceSpans"].as_array().into_iter().flatten();
    scopes.flat_map(|r| r["scopeSpans"][0]["spans"].as_array().into_iter().flatten()).collect()
}

fn count(node: &Node, outcome: &str) -> String {
    let text = node.get("/metrics").text;
    let begin = format!("microvisor_traces_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&begin).map(str::to_owned)).unwrap_or_default()
}

#[test]
fn starts_arrive_at_a_collector_in_the_trace_of_their_requests() {
    let (url, received) = collector(&[503]);
    let node = Node::with(&["--otlp", &url]);
    node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.0.0.0/24" })).is(201);
    create(&node, "named", &format!("traceparent: 00-{TRACE}-{CALLER}-01"));
    create(&node, "unrecorded", &format!("traceparent: 00-{TRACE}-{CALLER}-00"));
    create(&node, "wrong", "traceparent: 00-nonsense");
    let mut names = BTreeSet::new();
    // What was refused at first comes again; starts that are not due together come one by one.
    while names.len() < 2 {
        let (what, body) = received.recv_timeout(Duration::from_secs(30)).expect("it is sent");
        assert_eq!(what, "POST /v1/traces HTTP/1.1");
        let all = spans(&body);
        assert!(!all.is_empty(), "{body}");
        for root in all.iter().filter(|s| s["name"] == "instantiation") {
            let attributes = root["attributes"].as_array().expect("attributes");
            let name = attributes.iter().find(|a| a["key"] == "microvisor.instance.name").expect("a name");
            let name = name["value"]["stringValue"].as_str().expect("text").to_owned();
            let is_continued = (root["traceId"] == TRACE, root["parentSpanId"] == CALLER);
            assert_eq!(is_continued, (name == "named", name == "named"), "{root}");
            let own = all.iter().filter(|s| s["traceId"] == root["traceId"]);
            let phases: Vec<&str> = own.filter_map(|s| s["name"].as_str()).collect();
            assert!(phases.contains(&"boot") && phases.contains(&"configure"), "{phases:?}");
            names.insert(name);
        }
    }
    assert_eq!(names, BTreeSet::from(["named".into(), "wrong".into()]));
    eventually("they are counted", || count(&node, "sent") == "2" && count(&node, "lost") == "0");
    let timeline = node.get("/v1/instances/named/timeline").json;
    assert_eq!(timeline["traceparent"], format!("00-{TRACE}-{CALLER}-01"));
}

#[test]
fn a_collector_that_answers_nobody_costs_traces_and_nothing_else() {
    let (refusing, _received) = collector(&[400; 8]);
    // It listens, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", silent.local_addr().expect("an address"));
    for url in [refusing, silent, "http://127.0.0.1:1".into()] {
        let mut node = Node::with(&["--otlp", &url]);
        node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.0.0.0/24" })).is(201);
        create(&node, "a", "x-request-id: one");
        std::thread::sleep(Duration::from_secs(3));
        create(&node, "b", "x-request-id: two");
        node.ask("DELETE", "/v1/instances/a?force=true", None, &[]).is(204);
        // However long the collector takes.
        let begun = Instant::now();
        node.end();
        assert!(begun.elapsed() < Duration::from_secs(8), "{url}: {:?}", begun.elapsed());
        node.start();
        assert_eq!(node.get("/v1/instances/b").is(200)["state"], "ready");
    }
}
