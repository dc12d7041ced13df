//! Peers of the switch that are not ours: DPDK's virtio-user under flood, and front ends that mean harm.

use e2e::front::{FrontEnd, GUEST, SERVER, SIZE, WellBehavedPort, event, is_dropped, memfd};
use e2e::switch::Switch;
use e2e::{eventually, huge_pages, root, start};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;
use vhost_user::message::{MemoryRegion, Request, RingEvent};
use vhost_user::socket::Connection;

const WIRE: &str = "\
[segments.w]
point-to-point = true
[ports.a]
device = { vhost-user = { path = \"@/a.sock\", client = true } }
segment = \"w\"
[ports.b]
device = { vhost-user = { path = \"@/b.sock\", client = true } }
segment = \"w\"
";

#[test]
fn a_port_that_is_removed_under_flood_is_gone_and_the_switch_goes_on() {
    huge_pages();
    let switch = Switch::new(WIRE);
    let mut load = Command::new(root().join("scripts/testpmd-load"));
    load.arg(switch.folder.join("a.sock")).arg(switch.folder.join("b.sock")).arg("2");
    let load = start(load.stdin(Stdio::null()));
    for _ in 0..200 {
        if switch.port("b").counters.received > 1_000 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(switch.command(&["port", "remove", "b"]).status, 0);
    let a = switch.port("a");
    assert!(a.up && a.counters.received > 1_000, "{a:?}");
    e2e::finish_within(load, Duration::from_secs(60));
    eventually("the peer is gone", || !switch.port("a").up);
}

#[test]
fn dpdk_floods_the_switch_and_both_count_the_same() {
    huge_pages();
    let switch = Switch::new(WIRE);
    let mut load = Command::new(root().join("scripts/testpmd-load"));
    load.arg(switch.folder.join("a.sock")).arg(switch.folder.join("b.sock")).arg("2");
    let outcome = e2e::finish_within(start(load.stdin(Stdio::null())), Duration::from_secs(60));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let words: Vec<u64> = outcome.out.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    let [received_a, received_b, sent_a, sent_b] = words[..] else { panic!("{outcome:?}") };
    let (a, b) = (switch.port("a").counters, switch.port("b").counters);
    assert!(a.received > 1_000, "{a:?}");
    // What it had not taken out of its rings when it stopped, it has not counted: no more than a ring's length.
    for (sent, received) in [(a.sent, received_a), (b.sent, received_b)] {
        assert!((received..=received + 256).contains(&sent), "{sent} sent, {received} received");
    }
    assert!(a.drops.is_empty() && b.drops.is_empty(), "nothing is lost: {a:?} {b:?}");
    assert_eq!((a.received, b.received), (sent_a, sent_b), "what was sent the switch received");
    eventually("the peer is gone", || !switch.port("a").up);
}

#[test]
fn a_hostile_ring_costs_its_port_and_nobody_else_notices() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    type Attack = (&'static str, fn(&FrontEnd));
    let attacks: [Attack; 8] = [
        ("loops", |f| {
            // Three chains with one tail.
            f.long_chain(1, 254, 0x40000, 0);
            f.descriptor(254, GUEST + 0x40000, 12, 1, 1);
            f.descriptor(255, GUEST + 0x40000, 12, 1, 1);
            f.offer(&[0, 254, 255], 3);
        }),
        ("loops", |f| {
            f.descriptor(0, GUEST + 0x40000, 64, 1, 1);
            f.descriptor(1, GUEST + 0x40000, 64, 1, 0);
            f.offer(&[0], 1);
        }),
        ("more than 256 ahead", |f| f.offer(&[0], 999)),
        ("descriptor 700", |f| f.offer(&[700], 1)),
        ("are not in memory", |f| {
            f.descriptor(0, GUEST + SIZE - 8, 64, 0, 0);
            f.offer(&[0], 1);
        }),
        ("are not in memory", |f| {
            f.descriptor(0, u64::MAX - 4, 64, 0, 0);
            f.offer(&[0], 1);
        }),
        ("other direction", |f| {
            f.descriptor(0, GUEST + 0x40000, 64, 2, 0);
            f.offer(&[0], 1);
        }),
        ("0 bytes", |f| {
            f.descriptor(0, GUEST + 0x40000, 0, 0, 0);
            f.offer(&[0], 1);
        }),
    ];
    for (words, attack) in attacks {
        let mut front = FrontEnd::at(&switch, "victim");
        attack(&front);
        front.ask(&Request::SetOwner, &[]);
        is_dropped(&switch, words);
        good.gets_through(&switch);
    }
}

#[test]
fn a_chain_may_be_as_long_as_its_queue() {
    use std::os::unix::fs::FileExt;
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let mut front = FrontEnd::at(&switch, "victim");
    // 256 buffers to receive in, all but the first of one byte.
    front.long_chain(0, 256, 0x60000, 2);
    front.offer_of(0, &[0], 1);
    good.gets_through(&switch);
    eventually("the frame is written", || switch.port("victim").counters.sent == 1);
    let frame = e2e::frames::frame(e2e::frames::EVERYONE, e2e::frames::mac(1), None, b"good");
    let mut written = vec![0; frame.len()];
    let memory = File::from(front.memory.try_clone().expect("a descriptor"));
    memory.read_exact_at(&mut written, 0x60000 + 12).expect("read");
    assert_eq!(written, frame);
    // 256 buffers to transmit.
    let frame = e2e::frames::frame(e2e::frames::EVERYONE, e2e::frames::mac(2), None, &[7; 241]);
    assert_eq!(frame.len(), 255);
    front.write(0x40000 + 12, &frame);
    front.long_chain(1, 256, 0x40000, 0);
    front.offer(&[0], 1);
    assert!(front.ask(&Request::GetFeatures, &[]), "the peer keeps its port");
    eventually("the frame is read", || switch.port("victim").counters.received_bytes == 255);
    eventually("all of it is sent on", || {
        let recorded = std::fs::read(switch.folder.join("out")).unwrap_or_default();
        recorded.windows(frame.len()).any(|bytes| bytes == frame)
    });
}

#[test]
fn memory_that_shrinks_costs_its_port_and_nobody_else_notices() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let mut front = FrontEnd::at(&switch, "victim");
    File::from(front.memory.try_clone().expect("a descriptor")).set_len(0).expect("cut");
    front.ask(&Request::SetOwner, &[]);
    is_dropped(&switch, "shrank");
    good.gets_through(&switch);
}

#[test]
fn a_call_that_blocks_costs_its_port_and_nobody_else_notices() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let mut front = FrontEnd::at(&switch, "victim");
    let call = event();
    assert!(front.ask(&Request::SetRingCall(RingEvent { index: 1, no_descriptor: false }), &[&call]));
    std::thread::sleep(Duration::from_millis(100));
    // Full, and blocking again, which the switch cannot prevent.
    File::from(call.try_clone().expect("a descriptor"))
        .write_all(&(u64::MAX - 1).to_ne_bytes())
        .expect("filled");
    // SAFETY: plain system call on an owned descriptor.
    unsafe { libc::fcntl(call.as_raw_fd(), libc::F_SETFL, 0) };
    front.descriptor(0, GUEST + 0x40000, 12 + 60, 0, 0);
    front.offer(&[0], 1);
    front.ask(&Request::SetOwner, &[]);
    is_dropped(&switch, "blocks");
    good.gets_through(&switch);
}

#[test]
fn descriptors_of_the_wrong_kind_are_refused() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let socket = switch.folder.join("victim.sock");
    let file: OwnedFd = File::open("/proc/self/exe").expect("there").into();
    let pipe: OwnedFd = std::io::pipe().expect("a pipe").1.into();
    let memory = Request::SetMemoryTable(vec![MemoryRegion {
        guest_address: 0,
        length: 4096,
        user_address: 0,
        offset: 0,
    }]);
    let kick = Request::SetRingKick(RingEvent { index: 0, no_descriptor: false });
    for (request, fd, words) in [
        (&memory, &file, "memfd"),
        (&memory, &pipe, "memfd"),
        (&kick, &pipe, "not an eventfd"),
        (&kick, &file, "not an eventfd"),
    ] {
        let mut front = FrontEnd::new(&socket);
        front.ask(request, &[fd]);
        is_dropped(&switch, words);
        good.gets_through(&switch);
    }
    let beyond = MemoryRegion { guest_address: 0, length: 1 << 40, user_address: 0, offset: 0 };
    let mut front = FrontEnd::new(&socket);
    let small = memfd(4096);
    front.ask(&Request::SetMemoryTable(vec![beyond]), &[&small]);
    is_dropped(&switch, "does not lie in a file");
    good.gets_through(&switch);
}

#[test]
fn messages_in_any_order_and_shape_are_survived() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let socket = switch.folder.join("victim.sock");
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for round in 0..120 {
        let Ok(stream) = UnixStream::connect(&socket) else { continue };
        stream.set_write_timeout(Some(Duration::from_secs(1))).expect("set");
        stream.set_nonblocking(true).expect("set");
        let connection = Connection::new(stream);
        let memory = memfd(SIZE);
        for _ in 0..random(30) {
            let code = random(45) as u32;
            let length = [0, 4, 8, 8, 8, 24, 40, 40, 72, 264][random(10) as usize];
            let small = random(3) > 0;
            let payload: Vec<u8> =
                (0..length).map(|i| if small && i % 4 != 0 { 0 } else { random(256) as u8 }).collect();
            let eventfd = event();
            let fd = if random(2) == 0 { &memory } else { &eventfd };
            let fds = vec![fd.as_fd(); random(3) as usize];
            if connection.send(code, &payload, &fds, random(2) == 0).is_err() {
                break;
            }
        }
        if round % 20 == 0 {
            good.gets_through(&switch);
        }
    }
    good.gets_through(&switch);
    let folder = format!("/proc/{}/fd", switch.pid());
    let open = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
    let few = open();
    assert!(few < 60, "descriptors are left: {few}");
}

#[test]
fn a_peer_that_does_not_read_is_dropped() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let stream = UnixStream::connect(switch.folder.join("victim.sock")).expect("it listens");
    stream.set_nonblocking(true).expect("set");
    let connection = Connection::new(stream);
    for _ in 0..200_000 {
        let _ = connection.send(Request::GetFeatures.code(), &[], &[], false);
        if switch.try_ask(&switch::control::Request::Addresses).is_err() {
            panic!("the switch does not answer");
        }
        if switch.port("victim").last_error.is_some() {
            break;
        }
        for _ in 0..500 {
            let _ = connection.send(Request::GetFeatures.code(), &[], &[], false);
        }
    }
    assert!(switch.port("victim").last_error.is_some());
    good.gets_through(&switch);
}
