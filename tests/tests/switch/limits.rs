//! What one peer may take of the switch: descriptors, time, and room behind a port.

use e2e::front::{FrontEnd, GUEST, SERVER, WellBehavedPort, is_dropped};
use e2e::switch::Switch;
use e2e::{eventually, frames, huge_pages, root, start};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switch::control::{Client, Request, Response};
use switch::counters::Reason;
use vhost_user::message::{MessageHeader, VERSION};
use vhost_user::socket::Connection;

/// VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF, and TSO for IPv4 with checksums, both ways.
const LARGE: u64 = 1 << 32 | 1 << 15 | 1 | 1 << 1 | 1 << 7 | 1 << 11;

fn open_descriptors(switch: &Switch) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", switch.pid())).map_or(0, Iterator::count)
}

fn limit(switch: &Switch, descriptors: usize) {
    let limit = format!("--nofile={descriptors}:1024");
    let set = Command::new("prlimit").args(["--pid", &switch.pid().to_string(), &limit]).status();
    assert!(set.expect("prlimit is installed").success());
}

#[test]
fn a_message_that_is_never_finished_costs_its_port() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let mut stream = UnixStream::connect(switch.folder.join("victim.sock")).expect("it listens");
    // A byte now and then does not keep it.
    let header = MessageHeader { code: 1, flags: VERSION, length: 500 }.emit();
    let (begun, mut sent) = (Instant::now(), 0);
    for byte in header.iter().copied().chain(std::iter::repeat(0)) {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        sent += 1;
        std::thread::sleep(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(20), "it was heard {sent} bytes long");
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "it had time");
    is_dropped(&switch, "did not finish a message");
    good.gets_through(&switch);
}

#[test]
fn an_unfinished_message_holds_few_descriptors() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let before = open_descriptors(&switch);
    let stream = UnixStream::connect(switch.folder.join("victim.sock")).expect("it listens");
    stream.set_nonblocking(true).expect("set");
    // It announces 500 bytes, and each that follows is a part of them.
    let header = MessageHeader { code: 1, flags: VERSION, length: 500 }.emit();
    (&stream).write_all(&header).expect("taken");
    let connection = Connection::new(stream);
    let stdin = std::io::stdin();
    for _ in 0..100 {
        let _ = connection.send(1, &[], &[stdin.as_fd(); 8], false);
        let now = open_descriptors(&switch);
        assert!(now < before + 15, "{now} descriptors, {before} before");
    }
    is_dropped(&switch, "descriptors");
    good.gets_through(&switch);
    eventually("none is left", || open_descriptors(&switch) <= before + 2);
}

#[test]
fn a_full_table_of_descriptors_costs_no_time_and_ports_go_on() {
    let switch = Switch::new(SERVER);
    let mut good = WellBehavedPort::new(&switch);
    let mut client = Client::connect(&switch.control()).expect("the control socket");
    let mut received =
        |name: &str| match client.call(&Request::Show, Duration::from_secs(5)).expect("an answer") {
            Response::Status(status) => {
                status.ports.iter().find(|p| p.name == name).expect("the port").counters.received
            }
            other => panic!("{other:?}"),
        };
    received("good");
    std::thread::sleep(Duration::from_millis(300));
    limit(&switch, open_descriptors(&switch));
    let before = e2e::ticks(switch.pid());
    let waiting: Vec<UnixStream> =
        (0..8).map(|_| UnixStream::connect(switch.control()).expect("it listens")).collect();
    let mut victim = FrontEnd::new(&switch.folder.join("victim.sock"));
    std::thread::sleep(Duration::from_secs(2));
    // A hundred ticks are a second.
    let used = e2e::ticks(switch.pid()) - before;
    assert!(used < 50, "{used} ticks in two seconds of waiting");
    let before = received("good");
    good.sends();
    eventually("the good peer's frame is through", || received("good") > before);
    drop(waiting);
    limit(&switch, 1024);
    assert!(victim.begin(), "who waited has its turn");
    switch.is_up_soon("victim");
}

/// A TCP packet of 60,000 bytes that is left to be cut, behind its virtio header.
fn large_packet() -> Vec<u8> {
    let mut packet = vec![1, 1];
    packet.extend([54u16, 1448, 34, 16, 0].iter().flat_map(|w| w.to_le_bytes()));
    let mut frame = [frames::EVERYONE, frames::mac(1)].concat();
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend((60_000u16 - 14).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2]);
    frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    frame.resize(60_000, 7);
    [packet, frame].concat()
}

#[test]
fn a_packet_that_can_never_fit_holds_up_nothing() {
    let switch = Switch::new(SERVER);
    let mut sender = FrontEnd::at_with(&switch, "good", LARGE);
    let victim = FrontEnd::at_with(&switch, "victim", LARGE);
    // All that the victim ever offers is 8 buffers.
    for i in 0..8 {
        victim.descriptor_of(0, i, GUEST + 0x40000 + 2048 * i, 1536, 2, 0);
    }
    victim.offer_of(0, &[0, 1, 2, 3, 4, 5, 6, 7], 8);
    let large = large_packet();
    let small = [vec![0; 12], frames::frame(frames::EVERYONE, frames::mac(1), None, b"small")].concat();
    sender.write(0x40000, &large);
    sender.write(0x60000, &small);
    sender.descriptor(0, GUEST + 0x40000, large.len() as u32, 0, 0);
    sender.descriptor(1, GUEST + 0x60000, small.len() as u32, 0, 0);
    // Three small ones behind the large one.
    sender.offer(&[0, 1, 1, 1], 4);
    assert!(sender.ask(&vhost_user::message::Request::GetFeatures, &[]));
    let begun = Instant::now();
    while victim.used(0) < 3 && begun.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    assert_eq!(victim.used(0), 3, "small packets arrive: {:?}", switch.port("victim"));
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(switch.dropped("victim", Reason::TooLong), 1);
    assert_eq!(switch.dropped("victim", Reason::Full), 0);
    // With buffers in hand the driver may add some yet. When it does not, the large one alone is dropped.
    sender.offer(&[0, 1, 1, 1, 0, 1, 1], 7);
    assert!(sender.ask(&vhost_user::message::Request::GetFeatures, &[]));
    eventually("small packets arrive", || victim.used(0) == 5);
    assert_eq!(switch.dropped("victim", Reason::Full), 1);
}

#[test]
fn a_front_end_that_has_forgotten_how_far_it_was_goes_on_at_the_used_index() {
    let switch = Switch::new(SERVER);
    let first = FrontEnd::at(&switch, "victim");
    let frame = [vec![0; 12], frames::frame(frames::EVERYONE, frames::mac(3), None, b"again")].concat();
    first.write(0x40000, &frame);
    first.descriptor(0, GUEST + 0x40000, frame.len() as u32, 0, 0);
    // As DPDK's virtio-user has it after a thousand packets and a back end that went: base 0, indices where they were.
    let memory = first.memory.try_clone().expect("a descriptor");
    drop(first);
    eventually("it is gone", || !switch.port("victim").up);
    let mut second = FrontEnd::again(&switch.folder.join("victim.sock"), memory);
    second.write(0x14002, &6624u16.to_le_bytes());
    second.write(0x15002, &6624u16.to_le_bytes());
    assert!(second.begin());
    switch.is_up_soon("victim");
    let before = switch.port("victim").counters.received;
    second.write(0x14002, &6625u16.to_le_bytes());
    assert!(second.ask(&vhost_user::message::Request::GetFeatures, &[]), "it keeps its port");
    eventually("its frame is through", || switch.port("victim").counters.received == before + 1);
    assert_eq!(second.used(1), 6625);
}

#[test]
fn dpdk_goes_on_when_its_port_is_added_again_and_when_the_switch_is_restarted() {
    huge_pages();
    let config = "\
[segments.w]
point-to-point = true
[ports.a]
device = { vhost-user = { path = \"@/a.sock\", client = true } }
segment = \"w\"
[ports.b]
device = { vhost-user = { path = \"@/b.sock\", client = true } }
segment = \"w\"
";
    let mut switch = Switch::new(config);
    let mut load = Command::new(root().join("scripts/testpmd-load"));
    load.arg(switch.folder.join("a.sock")).arg(switch.folder.join("b.sock")).arg("12");
    let load = start(load.stdin(Stdio::null()));
    eventually("packets pass", || switch.port("b").counters.received > 1_000);
    assert_eq!(switch.command(&["port", "remove", "b"]).status, 0);
    switch.apply(config);
    // What was on its way to the port that went is lost, and circles no more. What came from there goes on.
    let passes = |switch: &Switch| {
        eventually("packets pass again", || switch.port("b").counters.received > 1_000);
    };
    passes(&switch);
    switch.kill();
    switch.start(config);
    passes(&switch);
    e2e::finish_within(load, Duration::from_secs(60));
}
