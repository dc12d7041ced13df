//! What the switch meets on the other side and has not made: front ends that can less than ours, that crash and come back,
//! and the kernel with packets larger than an MTU or without checksums.

use e2e::frames::{EVERYONE, frame, mac};
use e2e::front::{FrontEnd, GUEST, SERVER, WellBehavedPort};
use e2e::net::Namespace;
use e2e::switch::{Switch, tap};
use e2e::{eventually, run, start};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::Duration;
use switch::counters::Reason;
use vhost_user::message::Request;

/// VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF.
const PLAIN: u64 = 1 << 32;
const MERGEABLE: u64 = PLAIN | 1 << 15;
/// VIRTQ_DESC_F_WRITE.
const WRITE: u16 = 2;

/// Gives a front end's receive ring so many buffers of a length.
fn offer_buffers(front: &mut FrontEnd, count: u16, length: u32) {
    for i in 0..count {
        front.descriptor_of(0, i.into(), GUEST + 0x40000 + u64::from(i) * 0x800, length, WRITE, 0);
    }
    front.offer_of(0, &(0..count).collect::<Vec<_>>(), count);
    // A port that has slept for long looks again when it is told anything.
    assert!(front.ask(&Request::GetFeatures, &[]), "it is served");
}

fn read(front: &FrontEnd, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::from(front.memory.try_clone().expect("a descriptor")).read_exact_at(&mut bytes, at).expect("read");
    bytes
}

/// Sends a frame of a length from the well-behaved peer.
fn send_large(good: &mut WellBehavedPort, length: usize) {
    let mut packet = vec![0; 12];
    packet.extend(frame(EVERYONE, mac(1), None, &vec![0x5a; length]));
    good.front.write(0x50000, &packet);
    good.front.descriptor(0, GUEST + 0x50000, packet.len() as u32, 0, 0);
}

#[test]
fn a_front_end_without_merged_buffers_gets_what_fits_into_one() {
    for features in [PLAIN, MERGEABLE] {
        let switch = Switch::new(&SERVER.replace("segment = \"s\"", "segment = \"s\"\nmtu = 9000"));
        let mut front = FrontEnd::at_with(&switch, "victim", features);
        offer_buffers(&mut front, 8, 0x800);
        let mut good = WellBehavedPort::new(&switch);
        for length in [500, 6000, 700] {
            send_large(&mut good, length);
            good.gets_through(&switch);
        }
        let merged = features == MERGEABLE;
        eventually("what fits has come", || front.used(0) == if merged { 5 } else { 2 });
        // One buffer for the first, and of a packet in several the first says in how many.
        assert_eq!(read(&front, 0x40000 + 10, 2), [1, 0]);
        assert_eq!(read(&front, 0x40800 + 10, 2), [if merged { 3 } else { 1 }, 0]);
        assert_eq!(switch.dropped("victim", Reason::TooLong), u64::from(!merged));
    }
}

#[test]
fn a_front_end_that_crashes_with_its_rings_full_costs_nobody_and_comes_back() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    for _ in 0..20 {
        let mut front = FrontEnd::at_with(&switch, "victim", MERGEABLE);
        offer_buffers(&mut front, 256, 0x200);
        let mut packet = vec![0; 12];
        packet.extend(frame(EVERYONE, mac(2), None, b"the last words"));
        front.write(0x30000, &packet);
        for i in 0..256 {
            front.descriptor(i, GUEST + 0x30000, packet.len() as u32, 0, 0);
        }
        front.offer(&(0..256).collect::<Vec<_>>(), 256);
        good.sends();
        // Its memory goes before its connection does, as with a process that is killed.
        File::from(front.memory.try_clone().expect("a descriptor")).set_len(0).expect("cut");
        drop(front);
        eventually("the port is down", || !switch.port("victim").up);
    }
    good.gets_through(&switch);
    let mut front = FrontEnd::at_with(&switch, "victim", MERGEABLE);
    offer_buffers(&mut front, 8, 0x800);
    good.gets_through(&switch);
    eventually("the next one is served", || front.used(0) > 0);
}

/// Memory of a process, KiB, and its open descriptors.
fn held(pid: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("a line");
    let memory = line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number");
    (memory, std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count())
}

#[test]
fn a_guest_that_reboots_a_thousand_times_under_flood_leaves_nothing() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let mut early = None;
    for round in 0..1000 {
        let mut front = FrontEnd::new(&switch.folder.join("victim.sock"));
        assert!(front.begin_with(MERGEABLE), "round {round}");
        offer_buffers(&mut front, 64, 0x800);
        for _ in 0..4 {
            good.sends();
        }
        if round == 100 {
            early = Some(held(switch.pid()));
        }
    }
    good.gets_through(&switch);
    eventually("the last is gone", || !switch.port("victim").up);
    let (early, late) = (early.expect("measured"), held(switch.pid()));
    assert!(late.1 <= early.1 + 4, "descriptors: {early:?}, then {late:?}");
    assert!(late.0 <= early.0 + 2048, "memory, KiB: {early:?}, then {late:?}");
}

/// Two hosts on TAPs of 1500, each on a switch of its own, with a link of 9000 between the switches.
struct Path {
    // Before the namespaces, which its devices are in.
    switches: [Switch; 2],
    near: Namespace,
    far: Namespace,
    _link: [Namespace; 2],
}

impl Path {
    fn new() -> Self {
        let (near, far, link) = (Namespace::new(), Namespace::new(), [Namespace::new(), Namespace::new()]);
        let peer = [
            "link", "add", "wire", "mtu", "9000", "type", "veth", "peer", "name", "wire", "mtu", "9000",
            "netns",
        ];
        link[0].ip(&[&peer[..], &[&link[1].name]].concat());
        let switch = |host: &Namespace, link: &Namespace, address: &str| {
            link.ip(&["link", "set", "wire", "up"]);
            let uplink = format!(
                "[ports.up]\ndevice = {{ packet = {{ interface = \"wire\", netns = \"{}\" }} }}\nsegment = \"s\"\nmtu = 9000\n",
                link.name
            );
            let switch = Switch::new(&format!("[segments.s]\n{}{uplink}", tap("t", host, "segment = \"s\"")));
            switch.is_up_soon("t");
            host.address("t", address);
            switch
        };
        let switches = [switch(&near, &link[0], "10.9.0.1/24"), switch(&far, &link[1], "10.9.0.2/24")];
        Self { near, far, _link: link, switches }
    }

    /// TCP through a namespace's iperf3, and what iperf3 says of it.
    fn transfer(&self, more: &[&str]) -> serde_json::Value {
        let mut server = self.far.command(&["iperf3", "-s", "-1", "-p", "5201"]);
        let server = start(server.stdin(Stdio::null()));
        let listens = ["sh", "-c", "ss -Hltn sport = :5201 | grep -q ."];
        eventually("it listens", || self.far.command(&listens).status().is_ok_and(|s| s.success()));
        let words = [&["iperf3", "-J", "-c", "10.9.0.2", "-p", "5201", "-n", "64M"], more].concat();
        let outcome = e2e::finish_within(
            start(self.near.command(&words).stdin(Stdio::null())),
            Duration::from_secs(60),
        );
        assert_eq!(outcome.status, 0, "{outcome:?}");
        e2e::finish_within(server, Duration::from_secs(10));
        serde_json::from_str(&outcome.out).expect("JSON")
    }
}

/// Segments with wrong checksums that a host has seen, of all protocols.
fn wrong_checksums(host: &Namespace) -> u64 {
    let table = run(&mut host.command(&["nstat", "-asz"])).out;
    let counters = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|name| name.ends_with("InCsumErrors"))?;
        words.next()?.parse::<u64>().ok()
    });
    counters.sum()
}

#[test]
fn large_packets_and_partial_checksums_pass_between_hosts_of_1500_by_a_link_of_9000() {
    let path = Path::new();
    assert!(path.near.pings("10.9.0.2", 2));
    for direction in [&[][..], &["-R"]] {
        let told = path.transfer(direction);
        let received = told["end"]["sum_received"]["bytes"].as_u64().unwrap_or_default();
        // What is still on its way when the sender has sent all is not in it.
        assert!(received >= 48 << 20, "{told}");
        // A large packet that is cut twice, or not at all, shows as segments that are sent again and again.
        let again = told["end"]["sum_sent"]["retransmits"].as_u64().unwrap_or_default();
        assert!(again < 100, "{again} retransmits of about 46,000 segments");
    }
    // UDP as well, whose checksums nobody fills in before the far end.
    path.transfer(&["-u", "-b", "200M", "-n", "8M"]);
    assert_eq!((wrong_checksums(&path.near), wrong_checksums(&path.far)), (0, 0));
    for switch in &path.switches {
        assert_eq!(switch.dropped("t", Reason::TooLong) + switch.dropped("up", Reason::TooLong), 0);
        assert_eq!(switch.dropped("t", Reason::Malformed) + switch.dropped("up", Reason::Malformed), 0);
    }
}

#[test]
fn checksums_that_are_left_to_others_are_right_between_two_taps_and_a_veth() {
    let (first, second, outside) = (Namespace::new(), Namespace::new(), Namespace::new());
    let inside = Namespace::new();
    inside.ip(&["link", "add", "wire", "type", "veth", "peer", "name", "far", "netns", &outside.name]);
    inside.ip(&["link", "set", "wire", "up"]);
    outside.ip(&["link", "set", "far", "up"]);
    let uplink = format!(
        "[ports.up]\ndevice = {{ packet = {{ interface = \"wire\", netns = \"{}\" }} }}\nsegment = \"s\"\n",
        inside.name
    );
    let taps = tap("a", &first, "segment = \"s\"") + &tap("b", &second, "segment = \"s\"\noffload = false");
    let switch = Switch::new(&format!("[segments.s]\n{taps}{uplink}"));
    ["a", "b"].iter().for_each(|port| switch.is_up_soon(port));
    let hosts = [(&first, "a"), (&second, "b"), (&outside, "far")];
    for (n, (host, device)) in hosts.iter().enumerate() {
        host.address(device, &format!("10.9.1.{}/24", n + 1));
    }
    for (n, (to, _)) in hosts.iter().enumerate() {
        let mut server = to.command(&["iperf3", "-s", "-p", "5201"]);
        let mut server = start(server.stdin(Stdio::null()));
        let listens = ["sh", "-c", "ss -Hltn sport = :5201 | grep -q ."];
        eventually("it listens", || to.command(&listens).status().is_ok_and(|s| s.success()));
        for (m, (from, _)) in hosts.iter().enumerate().filter(|(m, _)| *m != n) {
            for kind in [&["-n", "4M"][..], &["-u", "-b", "100M", "-n", "1M"]] {
                let address = format!("10.9.1.{}", n + 1);
                let words = [&["iperf3", "-c", &address, "-p", "5201"], kind].concat();
                let outcome = run(from.command(&words).stdin(Stdio::null()));
                assert_eq!(outcome.status, 0, "{m} to {n}: {outcome:?}");
            }
        }
        let _ = server.kill();
        let _ = server.wait();
    }
    assert_eq!(hosts.map(|(host, _)| wrong_checksums(host)), [0; 3]);
}

/// Between two front ends there is one copy and no parsing, but for packets that need more: all of them arrive whole, in
/// order, and what must not pass is counted.
#[test]
fn every_kind_of_packet_crosses_a_wire_between_two_front_ends() {
    let port = |name: &str| {
        format!(
            "[ports.{name}]\ndevice = {{ vhost-user = {{ path = \"@/{name}.sock\" }} }}\nsegment = \"s\"\n"
        )
    };
    let switch =
        Switch::new(&format!("[segments.s]\npoint-to-point = true\n{}{}", port("far"), port("near")));
    let mut far = FrontEnd::at_with(&switch, "far", MERGEABLE);
    offer_buffers(&mut far, 200, 0x800);
    let mut near = FrontEnd::at_with(&switch, "near", MERGEABLE);
    let plain = |length: usize, fill: u8| frame(EVERYONE, mac(1), None, &vec![fill; length]);
    let tagged = frame(EVERYONE, mac(1), Some(5), &vec![9; 1500]);
    // Header, packet, in how many buffers; whether it arrives.
    let none = [0; 12];
    let mut garbage = none;
    garbage[1] = 77;
    let kinds = [
        (none, plain(46, 1), 1, true),
        (none, plain(1500, 2), 1, true),
        (none, plain(1501, 3), 1, false),
        (none, tagged, 1, true),
        (none, plain(700, 4), 2, true),
        (garbage, plain(100, 5), 1, false),
        (none, plain(46, 6), 1, true),
    ];
    let packets: Vec<_> = kinds.iter().cycle().take(70).collect();
    let (mut heads, mut next) = (Vec::new(), 0u16);
    for (n, (header, bytes, buffers, _)) in packets.iter().enumerate() {
        let at = 0x40000 + 0x800 * n as u64;
        near.write(at, &[&header[..], bytes].concat());
        heads.push(next);
        let (first, length) = (12 + 20, 12 + bytes.len() as u32);
        if *buffers == 1 {
            near.descriptor(next.into(), GUEST + at, length, 0, 0);
        } else {
            near.descriptor(next.into(), GUEST + at, first, 1, next + 1);
            near.descriptor(u64::from(next) + 1, GUEST + at + u64::from(first), length - first, 0, 0);
        }
        next += buffers;
    }
    near.offer(&heads, heads.len() as u16);
    assert!(near.ask(&Request::GetFeatures, &[]), "it is served");
    eventually("all were taken", || usize::from(near.used(1)) == packets.len());
    let expected: Vec<_> = packets.iter().filter(|(.., arrives)| *arrives).collect();
    eventually("all have come", || usize::from(far.used(0)) == expected.len());
    for (n, (_, bytes, ..)) in expected.iter().enumerate() {
        let got = read(&far, 0x40000 + 0x800 * n as u64, 12 + bytes.len());
        assert_eq!((&got[..12], &got[12..]), (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0][..], &bytes[..]), "{n}");
    }
    let counted = switch.port("near").counters;
    assert_eq!(counted.received, 60, "{counted:?}");
    assert_eq!(switch.port("far").counters.sent, expected.len() as u64);
    assert_eq!((switch.dropped("far", Reason::TooLong), switch.dropped("near", Reason::Malformed)), (10, 10));
}
