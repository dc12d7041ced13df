//! The first TCP connection to a guest is as quick as the next: the guest knows its peer from the packet that asks, though
//! the switch has answered for the guest, and what waits for a neighbour leaves as soon as that has answered.

use e2e::net::Namespace;
use e2e::node::Node;
use e2e::switch::{Switch, tap};
use e2e::{RunFolder, eventually, turns, unique};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Less than any retransmission timer, and more than a busy host takes.
const SOON: Duration = Duration::from_millis(200);

/// How long a connection takes.
fn connect(host: &Namespace, address: &str) -> Duration {
    let address: SocketAddr = address.parse().expect("an address");
    let begun = Instant::now();
    let stream = host.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)));
    stream.unwrap_or_else(|e| panic!("{address}: {e}"));
    begun.elapsed()
}

/// Most of the tries are soon over: a busy host may hold one up.
fn are_soon_over(what: &str, mut tries: Vec<Duration>) {
    tries.sort();
    println!("{what}: {tries:?}");
    assert!(tries[tries.len() / 2] < SOON, "{what}: {tries:?}");
}

/// First connections to guests of a node with these options, made with more of their specification.
fn to_guests_of_a_node(what: &str, options: &[&str], more: &Value) {
    let _turn = turns::alone();
    let (node, host) = (Node::with(options), Namespace::new());
    let network = json!({ "name": "blue", "subnet": "10.88.0.0/24", "gateway": "10.88.0.1",
        "host": { "tap": "blue", "netns": host.name, "address": "10.88.0.1/24" } });
    node.post("/v1/networks", &network).is(201);
    let tries = (0..5).map(|_| {
        let mut spec = json!({ "name": "redis", "image": "redis", "devices": [{ "network": "blue" }] });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        if !options.is_empty() {
            eventually("a guest is prepared", || node.get("/v1/status").json["prepared"] == 1);
        }
        let made = node.post("/v1/instances", &spec).is(201);
        let address = made["devices"][0]["address"].as_str().expect("an address").to_owned();
        let took = connect(&host, &format!("{address}:6379"));
        node.ask("DELETE", "/v1/instances/redis?force=true", None, &[]).is(204);
        // The next guest has the same address: its peer forgets it.
        host.ip(&["neigh", "flush", "all"]);
        took
    });
    are_soon_over(what, tries.collect());
}

#[test]
fn cold_guest_takes_its_first_connection_at_once() {
    to_guests_of_a_node("cold", &[], &Value::Null);
}

#[test]
fn prepared_guest_takes_its_first_connection_at_once() {
    let file = std::env::temp_dir().join(unique("pc"));
    std::fs::write(&file, "[[prepared-guests]]\nimage = \"redis\"\ncount = 1\n").expect("written");
    to_guests_of_a_node("prepared", &["--config", &file.display().to_string()], &Value::Null);
    std::fs::remove_file(file).expect("it was there");
}

#[test]
fn guest_on_demand_takes_its_first_connection_at_once() {
    to_guests_of_a_node("on demand", &[], &json!({ "on_demand": { "idle_s": 3600 } }));
}

/// First connections to a guest at the switch, by each of its addresses.
fn to_guests_of_a_switch(image: &str, port: u16, announced: bool) {
    let _turn = turns::alone();
    for address in ["10.89.0.1", "[fd00:89::1]"] {
        let tries = (0..5).map(|_| {
            let (host, folder) = (Namespace::new(), RunFolder::new());
            let own = "mac = \"02:00:00:00:00:77\"\naddresses = [\"10.89.0.1\", \"fd00:89::1\"]";
            let guest = format!(
                "[ports.guest]\ndevice = {{ vhost-user = {{ path = \"@/guest.sock\" }} }}\nsegment = \"s\"\n{own}"
            );
            let waits = format!("[announced.guest]\nsegment = \"s\"\n{own}\ntime-ms = 5000\n");
            let at_first = if announced { &waits } else { &guest };
            let network = format!("[segments.s]\nanswer-neighbours = true\n{}", tap("t", &host, "segment = \"s\""));
            let switch = Switch::new(&format!("{network}{at_first}"));
            host.address("t", "10.89.0.2/24");
            host.ip(&["addr", "add", "fd00:89::2/64", "dev", "t", "nodad"]);
            let net = switch.here(
                "vhost-user=@/guest.sock,mac=02:00:00:00:00:77,guest=10.89.0.1/24,guest=fd00:89::1/64",
            );
            let line =
                ["run", &format!("target/test-images/{image}"), "--net", &net, "--detach", "--name", "peer"];
            let run = || folder.run(&line).ends(0, "");
            let to = format!("{address}:{port}");
            let took = if announced {
                std::thread::scope(|scope| {
                    let connects = scope.spawn(|| connect(&host, &to));
                    std::thread::sleep(Duration::from_millis(50));
                    let begun = Instant::now();
                    switch.apply(&format!("{network}{waits}{guest}"));
                    run();
                    connects.join().expect("it connects");
                    begun.elapsed()
                })
            } else {
                run();
                connect(&host, &to)
            };
            folder.run(&["stop", "peer"]).ends(0, "");
            folder.is_empty_soon();
            took
        });
        are_soon_over(&format!("{image} {address}, announced: {announced}"), tries.collect());
    }
}

#[test]
fn first_connection_by_either_address_is_taken_at_once() {
    to_guests_of_a_switch("serves-tcp", 7, false);
    to_guests_of_a_switch("redis", 6379, false);
}

#[test]
fn first_connection_by_either_address_that_was_announced_is_taken_at_once() {
    to_guests_of_a_switch("serves-tcp", 7, true);
    to_guests_of_a_switch("redis", 6379, true);
}
