//! A device behind a port fails while the switch works.

use e2e::eventually;
use e2e::net::Namespace;
use e2e::switch::{Switch, tap};
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::time::Duration;
use switch::control::{Client, Event, Request};

/// CPU time that a process has used, clock ticks.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let field = |n: usize| after_name.split_whitespace().nth(n).and_then(|t| t.parse::<u64>().ok());
    field(11).expect("user time") + field(12).expect("system time")
}

#[test]
fn a_tap_that_is_deleted_costs_nothing_and_comes_back() {
    let there = Namespace::new();
    let switch = Switch::new("");
    switch.apply(&format!(
        "[segments.s]\n{}{}",
        tap("ta", &there, "segment = \"s\""),
        tap("tb", &there, "segment = \"s\"")
    ));
    switch.is_up_soon("ta");
    let mut client = Client::connect(&switch.control()).expect("the control socket");
    client.call(&Request::Events, Duration::from_secs(5)).expect("events");
    for _ in 0..3 {
        let before = ticks(switch.pid());
        there.ip(&["link", "del", "ta"]);
        let mut dropped = 0;
        loop {
            match client.event(Some(Duration::from_secs(30))).expect("an event") {
                Event::Dropped { port, .. } if port == "ta" => dropped += 1,
                Event::Restored { port } if port == "ta" => break,
                _ => {}
            }
        }
        assert_eq!(dropped, 1, "it is said once");
        // A hundred ticks are a second.
        assert!(ticks(switch.pid()) - before < 100, "the thread does not spin");
        eventually("the port is up again", || switch.port("ta").up);
        assert_eq!(switch.port("ta").last_error, None);
        assert!(switch.port("tb").up, "the other port never failed");
    }
}

#[test]
fn a_peer_that_is_refused_again_and_again_is_not_met_in_a_hurry() {
    let mut switch = Switch::new("");
    let path = switch.folder.join("peer");
    let listener = UnixListener::bind(&path).expect("a socket");
    let met = Arc::new(AtomicUsize::new(0));
    let count = met.clone();
    std::thread::spawn(move || {
        // Ends with the test's process.
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            count.fetch_add(1, Ordering::Relaxed);
            // No message of vhost-user: the version is wrong.
            let _ = stream.write_all(&[0xff; 12]);
        }
    });
    switch.apply(&format!(
        "[segments.s]\n[ports.p]\ndevice = {{ vhost-user = {{ path = \"{}\", client = true }} }}\nsegment = \"s\"\n",
        path.display()
    ));
    std::thread::sleep(Duration::from_secs(3));
    let times = met.load(Ordering::Relaxed);
    assert!((2..20).contains(&times), "it was met {times} times in 3 s");
    assert!(switch.port("p").last_error.is_some());
    let lines = switch.end().err.lines().count();
    assert!(lines < 10, "{lines} lines in the log");
}

#[test]
fn a_listener_that_accepts_nobody_holds_up_nobody() {
    let switch = Switch::new("");
    let path = switch.folder.join("deaf");
    let listener = UnixListener::bind(&path).expect("a socket");
    // Its backlog is full: a blocking connect would wait for ever.
    // SAFETY: a plain system call on an open descriptor.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let _first = UnixStream::connect(&path).expect("the one that fits");
    switch.apply(&format!(
        "[segments.s]\n[ports.p]\ndevice = {{ vhost-user = {{ path = \"{}\", client = true }} }}\nsegment = \"s\"\n",
        path.display()
    ));
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(50));
        let asked = std::time::Instant::now();
        assert!(!switch.port("p").up);
        assert!(asked.elapsed() < Duration::from_secs(1));
    }
    drop(listener);
}

#[test]
fn what_is_no_tap_for_a_port_is_told_so() {
    let there = Namespace::new();
    there.ip(&["tuntap", "add", "dev", "many", "mode", "tap", "multi_queue"]);
    there.ip(&["link", "add", "wire", "type", "veth", "peer", "name", "other"]);
    let switch = Switch::new("");
    for (name, says) in [("many", "multi_queue"), ("wire", "is no TAP but an interface of the driver veth")] {
        let config = format!("[segments.s]\n{}", tap(name, &there, "segment = \"s\""));
        let config = switch::config::Config::from_toml(&config).expect("a configuration");
        let request = Request::Apply { config: Box::new(config), dry_run: false };
        let refused = switch.try_ask(&request).expect_err("it is refused");
        assert!(refused.contains(says), "{name}: {refused}");
    }
}
