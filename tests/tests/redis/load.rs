//! The client guest and the server guest, joined by a bridge.

use crate::host::Guest;
use e2e::{finish_within, start, unique};
use std::process::Stdio;
use std::time::Duration;

#[test]
fn both_ends_are_guests() {
    let guest = Guest::start(&[]);
    let (bridge, tap) = (unique("b"), unique("t"));
    guest.namespace.ip(&["link", "add", &bridge, "type", "bridge"]);
    guest.namespace.ip(&["link", "set", &bridge, "up"]);
    // The address moves from the server's TAP to the bridge.
    let devices = guest.namespace.devices();
    let server = devices.lines().find_map(|l| l.split_whitespace().next().filter(|n| n.starts_with('t')));
    let server = server.expect("the TAP").trim_end_matches(':');
    guest.namespace.ip(&["addr", "flush", "dev", server]);
    guest.namespace.ip(&["link", "set", server, "master", &bridge]);
    guest.namespace.ip(&["addr", "add", "10.9.1.2/16", "dev", &bridge]);
    guest.namespace.ip(&["tuntap", "add", "mode", "tap", "vnet_hdr", "name", &tap]);
    guest.namespace.ip(&["link", "set", &tap, "master", &bridge, "up"]);

    let option = format!("{tap},netns={},guest=10.9.1.3/16", guest.namespace.name);
    for pipeline in ["pipeline=1", "pipeline=16"] {
        let base = ["run", "target/test-images/redis-load", "--tap", &option, "--name", "load"];
        let words =
            ["--set", "server=10.9.1.1", "--set", "requests=20000", "--set", pipeline, "--set", "clients=20"];
        let mut command = guest.microvisor(&[&base[..], &words].concat());
        let outcome = finish_within(start(command.stdin(Stdio::null())), Duration::from_secs(40));
        assert_eq!(outcome.status, 0, "{outcome:?}");
        assert!(outcome.out.contains("20000 requests in"), "{outcome:?}");
        assert!(outcome.out.contains("throughput") && outcome.out.contains("p99.9"), "{outcome:?}");
    }
    assert!(guest.connect().ask("DBSIZE").len() > 3, "keys are there");
    guest.stop();
}
