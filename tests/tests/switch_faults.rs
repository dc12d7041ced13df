//! A device behind a port fails while the switch works.

use e2e::eventually;
use e2e::net::Namespace;
use e2e::switch::Switch;
use std::fs;
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
    let tap = |name: &str| {
        let device = format!("device = {{ tap = {{ name = \"{name}\", netns = \"{}\" }} }}", there.name);
        format!("[ports.{name}]\n{device}\nsegment = \"s\"\n")
    };
    let switch = Switch::new("");
    switch.apply(&format!("[segments.s]\n{}{}", tap("ta"), tap("tb")));
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
