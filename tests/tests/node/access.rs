//! Strangers and former users of a node: connections that say nothing, bodies that do not come, a token that is revoked,
//! networks that contradict each other.

use e2e::net::Namespace;
use e2e::node::{Node, spec};
use e2e::{eventually, program, run};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than a node lets a connection be idle, or a body be late.
const LATE: Duration = Duration::from_secs(45);

fn connect(port: &str) -> TcpStream {
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    stream.set_read_timeout(Some(LATE)).expect("a timeout can be set");
    stream
}

/// How long until the other end closes, and what it has said until then.
fn until_closed(mut stream: TcpStream) -> (Duration, String) {
    let (begun, mut text) = (Instant::now(), Vec::new());
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut text);
    (begun.elapsed(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn strangers_who_say_nothing_cost_a_place_for_a_while_and_no_more() {
    let node = Node::with(&["--listen", "127.0.0.1:0"]);
    let port = node.port();
    let token = node.post("/v1/tokens", &json!({ "name": "t", "role": "admin" })).is(201);
    let token = token["token"].as_str().expect("a token").to_owned();
    let mut slow = connect(&port);
    let head = format!(
        "POST /v1/networks HTTP/1.1\r\nhost: n\r\nauthorization: Bearer {token}\r\n\
        content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).expect("it is taken");
    let mut trickle = connect(&port);
    trickle.write_all(b"GET /v1/status HTTP/1.1\r\n").expect("it is taken");
    let idle: Vec<TcpStream> = (0..700).map(|_| connect(&port)).collect();
    // Users of this host are served meanwhile, and no stranger has more than a place.
    node.get("/v1/status").is(200);
    let pid = node.get("/v1/status").json["pid"].to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    assert!(open < 600, "{open} descriptors");
    let (took, answer) = until_closed(slow);
    assert!(took < LATE && answer.contains(" 408 "), "{took:?}: {answer}");
    let (took, _) = until_closed(trickle);
    assert!(took < LATE, "{took:?}");
    // Places of the first are free again: the rest, and others, are served.
    let mut late = connect(&port);
    late.write_all(b"GET /v1/openapi.json HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n")
        .expect("it is taken");
    let (took, answer) = until_closed(late);
    assert!(answer.starts_with("HTTP/1.1 200"), "{took:?}: {answer:.100}");
    drop(idle);
}

#[test]
fn stream_of_events_ends_when_its_token_is_revoked() {
    let node = Node::with(&["--listen", "127.0.0.1:0"]);
    let port = node.port();
    let token = node.post("/v1/tokens", &json!({ "name": "t", "role": "read" })).is(201);
    let header = format!("authorization: Bearer {}", token["token"].as_str().expect("a token"));
    let mut stream = Command::new("curl");
    stream.args(["-s", "-N", "-H", &header]).arg(format!("http://127.0.0.1:{port}/v1/events/watch"));
    let mut stream = stream.stdout(Stdio::null()).spawn().expect("curl starts");
    std::thread::sleep(Duration::from_millis(2500));
    assert!(stream.try_wait().expect("it is ours").is_none(), "it goes on while the token is valid");
    node.ask("DELETE", "/v1/tokens/t", None, &[]).is(204);
    eventually("the stream has ended", || stream.try_wait().is_ok_and(|status| status.is_some()));
}

#[test]
fn networks_that_contradict_each_other_are_refused_in_their_own_terms() {
    let (node, host) = (Node::new(), Namespace::new());
    let network = |name: &str, subnet: &str| {
        json!({ "name": name, "subnet": subnet,
            "host": { "tap": name, "netns": host.name, "address": "10.85.0.1/24" } })
    };
    node.post("/v1/networks", &network("blue", "10.85.0.0/24")).is(201);
    let refused = node.post("/v1/networks", &network("red", "10.85.0.0/16")).is(409);
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains("blue")), "{refused}");
    let refused = node.post("/v1/networks", &json!({ "name": "six", "subnet": "fd00::/64" })).is(422);
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains("IPv6")), "{refused}");
    // Without an address of the host there is nothing that could go the wrong way.
    node.post("/v1/networks", &json!({ "name": "tenant", "subnet": "10.85.0.0/24" })).is(201);
}

#[test]
fn flavor_limits_the_processor_time_of_its_instances() {
    let node = Node::new();
    node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.87.0.0/24" })).is(201);
    node.post("/v1/flavors", &json!({ "name": "none", "cpu_percent": 0 })).is(422);
    node.post("/v1/flavors", &json!({ "name": "quarter", "cpu_percent": 25 })).is(201);
    // It never sleeps, and would use a whole processor.
    let config = "FromDevice(eth0) -> Discard; i :: InfiniteSource -> Discard;";
    let mut busy = spec("firewall.click", &json!({ "flavor": "quarter", "config": config }));
    busy["name"] = "busy".into();
    let pid = node.post("/v1/instances", &busy).is(201)["pid"].clone();
    let used = || {
        let usage = node.get("/v1/instances/busy/inspect").json["usage"].clone();
        ["user_ns", "system_ns"].iter().filter_map(|kind| usage[*kind].as_u64()).sum::<u64>()
    };
    let (before, begun) = (used(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let share = (used() - before) as f64 / begun.elapsed().as_nanos() as f64;
    assert!((0.05..0.35).contains(&share), "{share} of a processor, process {pid}");
    assert_eq!(node.get("/v1/instances/busy").json["state"], Value::from("ready"));
}

#[test]
fn flavor_keeps_its_instances_on_processors() {
    for prepared in [&[][..], &["--prepared", "1"]] {
        let node = Node::with(prepared);
        if !prepared.is_empty() {
            eventually("a guest is prepared", || node.get("/v1/status").json["prepared"] == 1);
        }
        node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.87.0.0/24" })).is(201);
        node.post("/v1/flavors", &json!({ "name": "none", "cpus": [] })).is(422);
        node.post("/v1/flavors", &json!({ "name": "none", "cpus": [4000] })).is(422);
        node.post("/v1/flavors", &json!({ "name": "first", "cpus": [0] })).is(201);
        let mut pinned = spec("firewall.click", &json!({ "flavor": "first" }));
        pinned["name"] = "pinned".into();
        let pid = node.post("/v1/instances", &pinned).is(201)["pid"].to_string();
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
        let tasks: Vec<_> = tasks.map(|task| task.path().join("status")).collect();
        assert!(tasks.len() > 1, "{tasks:?}");
        for task in tasks {
            let status = std::fs::read_to_string(&task).expect("it runs");
            assert!(status.contains("\nCpus_allowed_list:\t0\n"), "{status}");
        }
    }
}

#[test]
fn over_tcp_a_token_decides() {
    let folder = std::env::temp_dir().join(e2e::unique("tls"));
    std::fs::create_dir(&folder).expect("new");
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let path = |p: &std::path::Path| p.display().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]);
    openssl.args([
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        &path(&key),
        "-out",
        &path(&certificate),
    ]);
    assert_eq!(run(&mut openssl).status, 0);
    let (c, k) = (path(&certificate), path(&key));
    let tls = ["--tls-certificate", &c, "--tls-key", &k];
    for options in [&[][..], &tls[..]] {
        let node = Node::with(&[&["--listen", "127.0.0.1:0"][..], options].concat());
        let (port, scheme) = (node.port(), if options.is_empty() { "http" } else { "https" });
        let token = |role: &str| {
            let made = node.post("/v1/tokens", &json!({ "name": role, "role": role })).is(201);
            made["token"].as_str().unwrap_or_default().to_owned()
        };
        let ask = |method: &str, path: &str, token: &str| {
            let mut curl = Command::new("curl");
            curl.args([
                "-s",
                "-m",
                "10",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-X",
                method,
                "--cacert",
                &c,
            ]);
            if !token.is_empty() {
                curl.args(["-H", &format!("Authorization: Bearer {token}")]);
            }
            run(curl.arg(format!("{scheme}://127.0.0.1:{port}{path}"))).out
        };
        let (read, operate, admin) = (token("read"), token("operate"), token("admin"));
        assert_eq!(ask("GET", "/v1/instances", ""), "401");
        assert_eq!(ask("GET", "/v1/instances", "mv-0"), "401");
        assert_eq!(ask("GET", "/v1/instances", &read), "200");
        assert_eq!(ask("POST", "/v1/instances/x/stop", &read), "403");
        assert_eq!(ask("POST", "/v1/instances/x/stop", &operate), "404");
        assert_eq!(ask("DELETE", "/v1/networks/x", &operate), "403");
        assert_eq!(ask("DELETE", "/v1/networks/x", &admin), "404");
        assert_eq!(ask("DELETE", "/v1/tokens/read", &admin), "204");
        assert_eq!(ask("GET", "/v1/instances", &read), "401");
        assert_eq!(ask("GET", "/v1/openapi.json", ""), "200");
    }
    let _ = std::fs::remove_dir_all(&folder);
    let mut open = Command::new(program("microvisor-node"));
    let refused = run(open.args(["--listen", "0.0.0.0:0", "--check"]));
    assert_eq!(refused.status, 122, "{refused:?}");
}

#[test]
fn the_audit_log_says_who_changed_what_and_who_was_refused() {
    let folder = std::env::temp_dir().join(e2e::unique("audit"));
    std::fs::create_dir(&folder).expect("new");
    let path = folder.join("audit.log");
    let node = Node::with(&["--audit-log", path.to_str().expect("a path"), "--listen", "127.0.0.1:0"]);
    let lines = |path: &std::path::Path| -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("a file");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let token = node.post("/v1/tokens", &json!({ "name": "ci", "role": "read" })).is(201)["token"].clone();
    let port = node.port();
    let over_tcp = |method: &str, path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        let bearer = format!("authorization: Bearer {}", token.as_str().unwrap_or_default());
        let asked = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, "-H", &bearer, &url];
        run(Command::new("curl").args(asked)).out
    };
    assert_eq!(over_tcp("GET", "/v1/instances"), "200");
    assert_eq!(over_tcp("DELETE", "/v1/networks/blue"), "403");
    let all = lines(&path);
    let seen = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("method"), text("path"), line["status"].as_u64(), text("token"), line["uid"].as_u64())
    };
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(seen(&all[0]), ("POST".into(), "/v1/tokens".into(), Some(201), String::new(), Some(0)));
    assert_eq!(seen(&all[1]), ("DELETE".into(), "/v1/networks/blue".into(), Some(403), "ci".into(), None));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).expect("a file"));
    assert_eq!(mode & 0o777, 0o600);
    // Whoever rotates it renames it, and the daemon goes on in a new one.
    std::fs::rename(&path, folder.join("audit.log.1")).expect("renamed");
    e2e::signal(node.pid(), "HUP");
    e2e::eventually("a new file", || path.is_file());
    node.post("/v1/networks", &json!({ "name": "blue" })).is(201);
    assert_eq!((lines(&path).len(), lines(&folder.join("audit.log.1")).len()), (1, 2));
    drop(node);
    let _ = std::fs::remove_dir_all(folder);
}
