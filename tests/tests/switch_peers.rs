//! Peers of the switch that are not ours: DPDK's virtio-user under flood, and front ends that mean harm.

use e2e::switch::Switch;
use e2e::{eventually, huge_pages, root, start};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use vhost_user::message::{MemoryRegion, Request, RingAddresses, RingEvent, RingState};
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
        if switch.port("b").counters.received > 100_000 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(switch.command(&["port", "remove", "b"]).status, 0);
    let a = switch.port("a");
    assert!(a.up && a.counters.received > 100_000, "{a:?}");
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
    assert!(a.received > 100_000, "{a:?}");
    // What it had not taken out of its rings when it stopped, it has not counted: no more than a ring's length.
    for (sent, received) in [(a.sent, received_a), (b.sent, received_b)] {
        assert!((received..=received + 256).contains(&sent), "{sent} sent, {received} received");
    }
    assert!(a.drops.is_empty() && b.drops.is_empty(), "nothing is lost: {a:?} {b:?}");
    assert_eq!((a.received, b.received), (sent_a, sent_b), "what was sent the switch received");
    eventually("the peer is gone", || !switch.port("a").up);
}

/// A front end that does as it is told.
struct Front {
    connection: Connection,
    memory: OwnedFd,
}

const GUEST: u64 = 0x1000_0000;
const SIZE: u64 = 1 << 20;

fn memfd(size: u64) -> OwnedFd {
    // SAFETY: the name is a C string; the descriptor that is returned has no other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"peer".as_ptr(), libc::MFD_CLOEXEC)) };
    File::from(fd.try_clone().expect("a descriptor")).set_len(size).expect("sized");
    fd
}

fn event() -> OwnedFd {
    // SAFETY: as above.
    unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK)) }
}

impl Front {
    fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the switch listens");
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
        Self { connection: Connection::new(stream), memory: memfd(SIZE) }
    }

    /// Sends a request; whether the switch is still there.
    fn ask(&mut self, request: &Request, fds: &[&OwnedFd]) -> bool {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let sent = self.connection.send(request.code(), &request.emit(), &fds, false);
        sent.is_ok() && (!request.is_question() || matches!(self.connection.receive(), Ok(Some(_))))
    }

    fn region(&self) -> MemoryRegion {
        MemoryRegion { guest: GUEST, length: SIZE, user: GUEST, offset: 0 }
    }

    /// All that it takes until the rings run: descriptors at 0, available at 0x4000, used at 0x5000 of each ring's 64 KiB.
    fn begin(&mut self) -> bool {
        let region = self.region();
        let memory = self.memory.try_clone().expect("a descriptor");
        let mut good = self.ask(&Request::GetFeatures, &[])
            && self.ask(&Request::SetOwner, &[])
            && self.ask(&Request::SetFeatures(1 << 32), &[])
            && self.ask(&Request::SetMemoryTable(vec![region]), &[&memory]);
        for index in 0..2 {
            let at = GUEST + 0x10000 * u64::from(index);
            let addresses = RingAddresses {
                index,
                flags: 0,
                descriptors: at,
                used: at + 0x5000,
                available: at + 0x4000,
                log: 0,
            };
            good = good
                && self.ask(&Request::SetRingSize(RingState { index, value: 256 }), &[])
                && self.ask(&Request::SetRingAddresses(addresses), &[])
                && self.ask(&Request::SetRingBase(RingState { index, value: 0 }), &[])
                && self
                    .ask(&Request::SetRingCall(RingEvent { index: index as u8, none: false }), &[&event()])
                && self
                    .ask(&Request::SetRingKick(RingEvent { index: index as u8, none: false }), &[&event()]);
        }
        good
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = File::from(self.memory.try_clone().expect("a descriptor"));
        file.write_all_at(bytes, at).expect("written");
    }

    /// A descriptor of the ring that the guest transmits by.
    fn descriptor(&self, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        self.descriptor_of(1, index, address, length, flags, next);
    }

    fn descriptor_of(&self, ring: u64, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        let mut d = address.to_le_bytes().to_vec();
        d.extend(length.to_le_bytes());
        d.extend(flags.to_le_bytes());
        d.extend(next.to_le_bytes());
        self.write(0x10000 * ring + 16 * index, &d);
    }

    /// Makes chains available in the ring that the guest transmits by.
    fn offer(&self, heads: &[u16], index: u16) {
        self.offer_of(1, heads, index);
    }

    fn offer_of(&self, ring: u64, heads: &[u16], index: u16) {
        for (i, head) in heads.iter().enumerate() {
            self.write(0x10000 * ring + 0x4004 + 2 * i as u64, &head.to_le_bytes());
        }
        self.write(0x10000 * ring + 0x4002, &index.to_le_bytes());
    }

    /// A chain of `count` descriptors from 0 on: 12 bytes at `at`, then the bytes behind them, one a descriptor.
    fn long_chain(&self, ring: u64, count: u16, at: u64, flags: u16) {
        for i in 0..count {
            let (address, length) = if i == 0 { (at, 12) } else { (at + 11 + u64::from(i), 1) };
            let next = u16::from(i + 1 < count);
            self.descriptor_of(ring, i.into(), GUEST + address, length, flags | next, i + 1);
        }
    }
}

const SERVER: &str = "\
[segments.s]
[ports.victim]
device = { vhost-user = { path = \"@/victim.sock\" } }
segment = \"s\"
[ports.out]
device = { pcap = { write = \"@/out\" } }
segment = \"s\"
[ports.good]
device = { vhost-user = { path = \"@/good.sock\" } }
segment = \"s\"
";

/// A well-behaved peer of the same switch, whose frames must always get through.
struct Good {
    front: Front,
    sent: u16,
}

impl Good {
    fn new(switch: &Switch) -> Self {
        let mut front = Front::new(&switch.folder.join("good.sock"));
        assert!(front.begin());
        front.descriptor(0, GUEST + 0x40000, 12 + 60, 0, 0);
        let mut packet = vec![0u8; 12];
        packet.extend(e2e::frames::frame(e2e::frames::EVERYONE, e2e::frames::mac(1), None, b"good"));
        front.write(0x40000, &packet);
        switch.is_up_soon("good");
        Self { front, sent: 0 }
    }

    #[track_caller]
    fn gets_through(&mut self, switch: &Switch) {
        self.sent += 1;
        let slot = u64::from((self.sent - 1) % 256);
        self.front.write(0x14004 + 2 * slot, &0u16.to_le_bytes());
        self.front.write(0x14002, &self.sent.to_le_bytes());
        // A port that has slept for long looks again when it is told anything.
        assert!(self.front.ask(&Request::GetFeatures, &[]), "the good peer keeps its port");
        eventually("the frame is through", || switch.port("good").counters.received == u64::from(self.sent));
    }
}

/// Whether the switch has dropped the victim's peer.
fn is_dropped(switch: &Switch, words: &str) {
    eventually(&format!("the peer is dropped: {words}"), || {
        switch.port("victim").last_error.is_some_and(|e| e.contains(words))
    });
}

#[test]
fn a_hostile_ring_costs_its_port_and_nobody_else_notices() {
    let switch = Switch::new(SERVER);
    let mut good = Good::new(&switch);
    type Attack = (&'static str, fn(&Front));
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
        let mut front = Front::new(&switch.folder.join("victim.sock"));
        assert!(front.begin(), "{words}");
        switch.is_up_soon("victim");
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
    let mut good = Good::new(&switch);
    let mut front = Front::new(&switch.folder.join("victim.sock"));
    assert!(front.begin());
    switch.is_up_soon("victim");
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
    let mut good = Good::new(&switch);
    let mut front = Front::new(&switch.folder.join("victim.sock"));
    assert!(front.begin());
    switch.is_up_soon("victim");
    File::from(front.memory.try_clone().expect("a descriptor")).set_len(0).expect("cut");
    front.ask(&Request::SetOwner, &[]);
    is_dropped(&switch, "shrank");
    good.gets_through(&switch);
}

#[test]
fn a_call_that_blocks_costs_its_port_and_nobody_else_notices() {
    let switch = Switch::new(SERVER);
    let mut good = Good::new(&switch);
    let mut front = Front::new(&switch.folder.join("victim.sock"));
    assert!(front.begin());
    switch.is_up_soon("victim");
    let call = event();
    assert!(front.ask(&Request::SetRingCall(RingEvent { index: 1, none: false }), &[&call]));
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
    let mut good = Good::new(&switch);
    let socket = switch.folder.join("victim.sock");
    let file: OwnedFd = File::open("/proc/self/exe").expect("there").into();
    let pipe: OwnedFd = std::io::pipe().expect("a pipe").1.into();
    let memory = Request::SetMemoryTable(vec![MemoryRegion { guest: 0, length: 4096, user: 0, offset: 0 }]);
    let kick = Request::SetRingKick(RingEvent { index: 0, none: false });
    for (request, fd, words) in [
        (&memory, &file, "memfd"),
        (&memory, &pipe, "memfd"),
        (&kick, &pipe, "no eventfd"),
        (&kick, &file, "no eventfd"),
    ] {
        let mut front = Front::new(&socket);
        front.ask(request, &[fd]);
        is_dropped(&switch, words);
        good.gets_through(&switch);
    }
    let beyond = MemoryRegion { guest: 0, length: 1 << 40, user: 0, offset: 0 };
    let mut front = Front::new(&socket);
    let small = memfd(4096);
    front.ask(&Request::SetMemoryTable(vec![beyond]), &[&small]);
    is_dropped(&switch, "does not lie in a file");
    good.gets_through(&switch);
}

#[test]
fn messages_in_any_order_and_shape_are_survived() {
    let switch = Switch::new(SERVER);
    let mut good = Good::new(&switch);
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
    let mut good = Good::new(&switch);
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
