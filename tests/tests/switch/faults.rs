//! A device behind a port fails while the switch works.

use e2e::net::Namespace;
use e2e::switch::{Switch, tap};
use e2e::{eventually, ticks};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::time::Duration;
use switch::control::{Client, Event, Request};

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

/// A port on one end of a veth pair, whose other end is in a namespace of its own, goes on after the pair was deleted and
/// made again.
#[track_caller]
fn an_interface_that_is_made_again_is_used_again(device: &str, rest: &str) {
    let (there, far, host) = (Namespace::new(), Namespace::new(), Namespace::new());
    let make = || {
        there.ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &far.name]);
        // Whoever has seen it before need not ask again.
        far.ip(&["link", "set", "far", "address", "02:00:00:00:00:77"]);
        there.ip(&["link", "set", "near", "up"]);
        far.ip(&["link", "set", "far", "up"]);
        far.address("far", "10.3.0.2/24");
        // What is done by software at an XDP port cannot be left to hardware at the other end.
        e2e::run(&mut far.command(&["ethtool", "-K", "far", "tx", "off"]));
    };
    make();
    let switch = Switch::new(&format!(
        "[segments.s]\n{}[ports.near]\ndevice = {{ {device} = {{ interface = \"near\", netns = \"{}\"{rest} }} }}\n\
         segment = \"s\"\n",
        tap("ta", &host, "segment = \"s\""),
        there.name
    ));
    host.address("ta", "10.3.0.1/24");
    switch.is_up_soon("near");
    assert!(host.pings("10.3.0.2", 1));
    for round in 0..2 {
        there.ip(&["link", "del", "near"]);
        eventually("the port has failed", || switch.port("near").last_error.is_some());
        make();
        eventually("the port is up again", || switch.port("near").up);
        eventually(&format!("packets pass again, {round}"), || host.pings("10.3.0.2", 1));
    }
    // Deleted and made again before the switch can look.
    there.ip(&["link", "del", "near"]);
    make();
    eventually("packets pass after a quick change", || host.pings("10.3.0.2", 1));
}

#[test]
fn a_packet_interface_that_is_made_again_is_used_again() {
    an_interface_that_is_made_again_is_used_again("packet", "");
}

#[test]
fn an_xdp_interface_that_is_made_again_is_used_again() {
    an_interface_that_is_made_again_is_used_again("xdp", ", queue = 0");
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
    for (name, says) in
        [("many", "multi_queue"), ("wire", "is not a TAP but an interface of the driver veth")]
    {
        let config = format!("[segments.s]\n{}", tap(name, &there, "segment = \"s\""));
        let config = switch::config::Config::from_toml(&config).expect("a configuration");
        let request = Request::Apply { config: Box::new(config), dry_run: false };
        let refused = switch.try_ask(&request).expect_err("it is refused");
        assert!(refused.contains(says), "{name}: {refused}");
    }
}

#[test]
fn the_user_s_tap_keeps_its_settings() {
    let there = Namespace::new();
    for (name, flags) in [("plain", &[][..]), ("header", &["vnet_hdr"][..])] {
        there.ip(&[&["tuntap", "add", "dev", name, "mode", "tap"], flags].concat());
    }
    let before = ["plain", "header"].map(|name| there.tap_settings(name));
    let ports = ["plain", "header"].map(|name| tap(name, &there, "segment = \"s\""));
    let mut switch = Switch::new(&format!("[segments.s]\n{}{}", ports[0], ports[1]));
    switch.is_up_soon("plain");
    // One goes by a change, the other with the switch.
    switch.apply(&format!("[segments.s]\n{}", ports[1]));
    assert_eq!(there.tap_settings("plain"), before[0]);
    switch.is_up_soon("header");
    switch.end();
    assert_eq!(there.tap_settings("header"), before[1]);
}

#[test]
fn a_port_leaves_a_namespace_that_was_deleted() {
    let (near, far) = (Namespace::new(), Namespace::new());
    let switch = Switch::new(&format!(
        "[segments.s]\n{}{}",
        tap("ta", &near, "segment = \"s\""),
        tap("tb", &far, "segment = \"s\"")
    ));
    near.address("ta", "10.4.0.1/24");
    switch.is_up_soon("tb");
    let name = far.name.clone();
    for round in 0..2 {
        e2e::run(std::process::Command::new("ip").args(["netns", "del", &name]));
        eventually("its port has failed", || switch.port("tb").last_error.is_some());
        assert!(!switch.port("tb").up && switch.port("ta").up);
        e2e::run(std::process::Command::new("ip").args(["netns", "add", &name]));
        eventually("its port is up again", || switch.port("tb").up);
        far.address("tb", "10.4.0.2/24");
        // The new TAP has another Ethernet address.
        near.ip(&["neigh", "flush", "all"]);
        eventually(&format!("packets pass again, {round}"), || near.pings("10.4.0.2", 1));
    }
}
