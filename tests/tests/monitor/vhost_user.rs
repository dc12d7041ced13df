//! The monitor's side of vhost-user: against our switch, which is killed and comes back under load; against Open
//! vSwitch with DPDK; and against back ends that do not keep to the protocol.

use e2e::net::Namespace;
use e2e::ovs::OpenVswitch;
use e2e::switch::Switch;
use e2e::{RunFolder, eventually, finish, image, program, run, start, unique};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use switch::counters::Reason;

const GUEST: &str = "10.9.2.1";
const HOST: &str = "10.9.2.2";
const WIRE: &str = "point-to-point = true";

fn pattern(i: usize) -> u8 {
    ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8
}

/// Sends a pattern to the guest, which checks it, and has it send one, which is checked here.
fn transfers(namespace: &Namespace, guest: &str, length: usize) {
    let bytes: Vec<u8> = (0..length).map(pattern).collect();
    let connect = |port: u16| {
        let address: SocketAddr = format!("{guest}:{port}").parse().expect("an address");
        let stream = namespace.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(10)));
        let stream = stream.unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout can be set");
        stream
    };
    let mut to = connect(9);
    to.write_all(&bytes).expect("the guest takes it");
    to.shutdown(std::net::Shutdown::Write).expect("open");
    let mut answer = String::new();
    to.read_to_string(&mut answer).expect("the guest answers");
    assert_eq!(answer.trim(), format!("{length} ok"));
    let mut from = connect(19);
    from.write_all(format!("{length}\n").as_bytes()).expect("the guest takes it");
    let mut got = Vec::new();
    from.read_to_end(&mut got).expect("the guest sends");
    assert!(got == bytes, "{} bytes came", got.len());
}

/// A switch between a guest and a TAP that stays when the switch ends.
struct Wired {
    switch: Switch,
    namespace: Namespace,
    folder: RunFolder,
    config: String,
}

impl Wired {
    fn new(segment: &str, port: &str, net: &str) -> Self {
        let (namespace, folder, tap) = (Namespace::new(), RunFolder::new(), unique("t"));
        namespace.ip(&["tuntap", "add", "mode", "tap", "vnet_hdr", "name", &tap]);
        namespace.ip(&["addr", "add", &format!("{HOST}/24"), "dev", &tap]);
        namespace.ip(&["link", "set", &tap, "up"]);
        let config = format!(
            "[segments.s]\n{segment}\n[ports.v]\ndevice = {{ vhost-user = {{ path = \"@/v.sock\" }} }}\nsegment = \"s\"\n{port}\n\
             [ports.t]\ndevice = {{ tap = {{ name = \"{tap}\", netns = \"{}\" }} }}\nsegment = \"s\"\n",
            namespace.name
        );
        let switch = Switch::new(&config);
        let option = switch.here(&format!("vhost-user=@/v.sock,guest={GUEST}/24{net}"));
        let outcome = folder.run(&[
            "run",
            "target/test-images/serves-tcp",
            "--net",
            &option,
            "--detach",
            "--name",
            "guest",
        ]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        Self { switch, namespace, folder, config }
    }

    #[track_caller]
    fn stop(self) {
        self.folder.run(&["stop", "guest"]).ends(0, "");
        self.folder.is_empty_soon();
    }
}

#[test]
fn a_guest_on_a_switch_sends_and_receives() {
    let settings = [("", ""), ("offload = false", ""), ("", ",queue=1024,offload=off"), ("", ",queue=64")];
    for (segment, (port, net)) in settings.into_iter().flat_map(|s| [("", s), (WIRE, s)]) {
        let wired = Wired::new(segment, port, net);
        assert!(wired.namespace.pings(GUEST, 3), "{segment} {port} {net}: no answer");
        transfers(&wired.namespace, GUEST, 3_000_000);
        let inspect = wired.folder.run(&["inspect", "guest"]);
        assert!(inspect.out.contains("vhost-user, connected, 1 so far"), "{inspect:?}");
        wired.stop();
    }
}

#[test]
fn a_wire_whose_guest_has_few_buffers_carries_packets_all_the_same() {
    let wired = Wired::new(WIRE, "", ",queue=8");
    assert!(wired.namespace.pings(GUEST, 3));
    transfers(&wired.namespace, GUEST, 500_000);
    // What came before the guest did is lost, nothing else.
    let counters = wired.switch.port("v").counters;
    assert!(counters.drops.keys().all(|&reason| reason == Reason::Down), "{counters:?}");
    wired.stop();
}

#[test]
fn a_switch_is_killed_under_load_and_the_guest_goes_on() {
    is_killed_under_load("");
}

#[test]
fn a_wire_is_killed_under_load_and_the_guest_goes_on() {
    is_killed_under_load(WIRE);
}

fn is_killed_under_load(segment: &str) {
    let Wired { mut switch, namespace, folder, config } = Wired::new(segment, "", "");
    let over = AtomicBool::new(false);
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut transferred = 0;
            while !over.load(Ordering::Relaxed) || transferred < 2 {
                transfers(&namespace, GUEST, 20_000_000);
                transferred += 1;
            }
        });
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(300));
            switch.kill();
            switch.start(&config);
            let begun = Instant::now();
            switch.is_up_soon("v");
            longest = longest.max(begun.elapsed());
        }
        over.store(true, Ordering::Relaxed);
        load.join().expect("every byte arrived as it was sent");
    });
    assert!(longest < Duration::from_secs(1), "the guest was away for {longest:?}");
    assert!(namespace.pings(GUEST, 3));
    let inspect = folder.run(&["inspect", "guest"]);
    assert!(inspect.out.contains("vhost-user, connected, 6 so far"), "{inspect:?}");
    Wired { switch, namespace, folder, config }.stop();
}

#[test]
fn a_guest_can_have_a_tap_and_a_switch() {
    let (near, far, folder) = (Namespace::new(), Namespace::new(), RunFolder::new());
    let switch = Switch::new(&format!(
        "[segments.s]\n[ports.v]\ndevice = {{ vhost-user = {{ path = \"@/v.sock\" }} }}\nsegment = \"s\"\n\
         [ports.t]\ndevice = {{ tap = {{ name = \"far\", netns = \"{}\" }} }}\nsegment = \"s\"\n",
        far.name
    ));
    far.ip(&["addr", "add", "10.9.2.3/24", "dev", "far"]);
    far.ip(&["link", "set", "far", "up"]);
    let tap = format!("{},netns={},address={HOST}/24", unique("t"), near.name);
    let net = switch.here("vhost-user=@/v.sock");
    let config = switch.folder.join("wire.click");
    let wire = "FromDevice(0) -> Queue -> ToDevice(1); FromDevice(1) -> Queue -> ToDevice(0);";
    fs::write(&config, wire).expect("written");
    let file = config.display().to_string();
    let outcome = folder.run(&["run", &file, "--tap", &tap, "--net", &net, "--detach", "--name", "wire"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    eventually("the far host answers", || near.pings("10.9.2.3", 1));
    let inspect = folder.run(&["inspect", "wire"]);
    assert!(inspect.out.contains("net 1     vhost-user, connected"), "{inspect:?}");
    folder.run(&["stop", "wire"]).ends(0, "");
    folder.is_empty_soon();
}

#[test]
fn a_guest_can_stand_between_two_segments() {
    let (near, far, folder) = (Namespace::new(), Namespace::new(), RunFolder::new());
    let side = |n: u8, namespace: &Namespace| {
        format!(
            "[segments.s{n}]\n[ports.v{n}]\ndevice = {{ vhost-user = {{ path = \"@/v{n}.sock\" }} }}\nsegment = \"s{n}\"\n\
             [ports.t{n}]\ndevice = {{ tap = {{ name = \"end\", netns = \"{}\" }} }}\nsegment = \"s{n}\"\n",
            namespace.name
        )
    };
    let switch = Switch::new(&(side(0, &near) + &side(1, &far)));
    for (namespace, host) in [(&near, "10.9.2.2/24"), (&far, "10.9.2.3/24")] {
        namespace.ip(&["addr", "add", host, "dev", "end"]);
        namespace.ip(&["link", "set", "end", "up"]);
    }
    let config = switch.folder.join("wire.click");
    let wire = "FromDevice(0) -> Queue -> ToDevice(1); FromDevice(1) -> Queue -> ToDevice(0);";
    fs::write(&config, wire).expect("written");
    let [first, second] = ["vhost-user=@/v0.sock", "vhost-user=@/v1.sock"].map(|net| switch.here(net));
    let file = config.display().to_string();
    let run = ["run", &file, "--net", &first, "--net", &second, "--detach", "--name", "wire"];
    folder.run(&run).ends(0, "");
    eventually("the far host answers", || near.pings("10.9.2.3", 1));
    for port in ["v0", "v1"] {
        let queues = switch.port(port).counters.queues.expect("it has rings");
        assert!(queues.to_peer.buffers > 0 && queues.from_peer.buffers > 0, "{port}: {queues:?}");
    }
    folder.run(&["stop", "wire"]).ends(0, "");
    folder.is_empty_soon();
}

#[test]
fn a_guest_answers_through_open_vswitch() {
    let (ovs, namespace, folder) =
        (OpenVswitch::new(&["guest.sock"], None), Namespace::new(), RunFolder::new());
    let option = format!("vhost-user={}/guest.sock,server=on,guest={GUEST}/24,wait=15", ovs.folder.display());
    let guest = ["run", "target/test-images/serves-tcp", "--net", &option, "--detach", "--name", "ovs"];
    let outcome = folder.run(&guest);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let moved = run(Command::new("ip").args(["link", "set", &ovs.bridge, "netns", &namespace.name]));
    assert_eq!(moved.status, 0, "{moved:?}");
    namespace.ip(&["addr", "add", &format!("{HOST}/24"), "dev", &ovs.bridge]);
    namespace.ip(&["link", "set", &ovs.bridge, "up"]);
    eventually("the guest answers", || namespace.pings(GUEST, 1));
    transfers(&namespace, GUEST, 1_000_000);
    folder.run(&["stop", "ovs"]).ends(0, "");
    folder.is_empty_soon();
}

/// A monitor on a socket, which it waits for no longer than a second.
fn monitor(path: &Path) -> Child {
    let mut command = Command::new(program("microvisor-vmm"));
    command.arg("--image").arg(image("serves-tcp"));
    let net = format!("vhost-user={},wait=1,ipv4={GUEST}/24", path.display());
    command.args(["--net", &net, "--console", "off"]).stdin(Stdio::null());
    start(&mut command)
}

/// A message: code, flags, payload.
fn message(code: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
    let header = [code, flags, payload.len() as u32].map(u32::to_ne_bytes);
    [&header.concat()[..], payload].concat()
}

/// A back end that answers each request in its own way, until it has had enough.
fn back_end(
    listener: &UnixListener,
    mut answer: impl FnMut(u32, usize) -> Option<Vec<u8>>,
) -> Option<UnixStream> {
    back_end_by_flags(listener, |code, _, count| answer(code, count))
}

/// The same, with each request's flags.
fn back_end_by_flags(
    listener: &UnixListener,
    mut answer: impl FnMut(u32, u32, usize) -> Option<Vec<u8>>,
) -> Option<UnixStream> {
    let (mut stream, _) = listener.accept().ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    for count in 0.. {
        let mut header = [0; 12];
        if stream.read_exact(&mut header).is_err() {
            break;
        }
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let mut payload = vec![0; word(8) as usize];
        stream.read_exact(&mut payload).ok()?;
        match answer(word(0), word(4), count) {
            Some(bytes) => stream.write_all(&bytes).ok()?,
            None => return None,
        }
    }
    Some(stream)
}

const REPLY: u32 = 5;
const NEED_REPLY: u32 = 8;
/// Virtio 1.x and the protocol's features.
const FEATURES: u64 = 1 << 32 | 1 << 30;

/// What an honest back end without acknowledgements answers.
fn honest(code: u32) -> Vec<u8> {
    match code {
        1 => message(1, REPLY, &FEATURES.to_ne_bytes()),
        15 => message(15, REPLY, &0u64.to_ne_bytes()),
        _ => vec![],
    }
}

#[test]
fn a_back_end_that_breaks_the_protocol_stops_the_start_with_a_reason() {
    type Answer = fn(u32, usize) -> Option<Vec<u8>>;
    type ByFlags = Box<dyn FnMut(u32, u32, usize) -> Option<Vec<u8>> + Send>;
    let cases: [(&str, Answer); 7] = [
        ("does not answer", |_, _| Some(vec![])),
        ("closed the connection", |_, _| None),
        ("with something else", |_, _| Some(message(77, REPLY, &[0; 8]))),
        ("with something else", |code, _| Some(message(code, REPLY, &[0; 3]))),
        ("protocol version", |_, _| Some(vec![0xff; 64])),
        ("bytes of payload", |code, _| Some([code, REPLY, u32::MAX].map(u32::to_ne_bytes).concat())),
        ("does not offer virtio 1.x", |code, _| {
            Some(if code == 1 { message(1, REPLY, &0u64.to_ne_bytes()) } else { vec![] })
        }),
    ];
    let cases =
        cases.map(|(says, answer)| (says, Box::new(move |code, _, count| answer(code, count)) as ByFlags));
    // Offers acknowledgements, and refuses when it is asked for one; or hangs up at the memory, as one does that is not asked.
    let grudging = |code, flags, _| {
        Some(match code {
            1 => message(1, REPLY, &FEATURES.to_ne_bytes()),
            15 => message(15, REPLY, &(1u64 << 3).to_ne_bytes()),
            _ if flags & NEED_REPLY == 0 => vec![],
            _ => message(code, REPLY, &1u64.to_ne_bytes()),
        })
    };
    let rude = move |code, flags, count| if code == 5 { None } else { grudging(code, flags, count) };
    let by_flags: [(&str, ByFlags); 2] =
        [("refuses", Box::new(grudging)), ("closed the connection", Box::new(rude))];
    for (says, answer) in cases.into_iter().chain(by_flags) {
        let folder = RunFolder::new();
        let path = folder.0.join("s");
        let listener = UnixListener::bind(&path).expect("bound");
        let child = monitor(&path);
        std::thread::spawn(move || {
            let kept = back_end_by_flags(&listener, answer);
            std::thread::sleep(Duration::from_secs(4));
            drop(kept);
        });
        finish(child).ends(124, says);
        fs::remove_file(&path).expect("it was bound");
    }
}

#[test]
fn nobody_there_is_said_in_time() {
    let folder = RunFolder::new();
    let begun = Instant::now();
    let outcome = finish(monitor(&folder.0.join("nobody")));
    outcome.ends(124, "nobody answers at");
    assert!(outcome.err.contains("start the switch"), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_back_end_that_comes_back_with_less_takes_the_port_down() {
    let folder = RunFolder::new();
    let path = folder.0.join("s");
    let listener = UnixListener::bind(&path).expect("bound");
    let child = monitor(&path);
    // Offers large segments at first, which this guest takes, then only the least.
    let more = FEATURES | 1 | 1 << 1 | 1 << 15;
    let first = |code, _| Some(if code == 1 { message(1, REPLY, &more.to_ne_bytes()) } else { honest(code) });
    let mut enabled = 0;
    let gone = back_end(&listener, |code, count| {
        enabled += u32::from(code == 18);
        if enabled == 2 { None } else { first(code, count) }
    });
    drop(gone);
    for _ in 0..2 {
        back_end(&listener, |code, _| Some(honest(code)));
    }
    e2e::signal(child.id(), "TERM");
    let outcome = finish(child);
    let said = outcome.err.matches("the port is down: the back end lacks features").count();
    assert_eq!(said, 1, "{outcome:?}");
    fs::remove_file(&path).expect("it was bound");
}

#[test]
fn the_connector_ends_with_its_monitor_and_has_nothing_open() {
    let folder = RunFolder::new();
    let path = folder.0.join("s");
    let listener = UnixListener::bind(&path).expect("bound");
    let mut child = monitor(&path);
    let (stream, _) = listener.accept().expect("the monitor comes");
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let connector = fs::read_to_string(children).expect("there").trim().to_owned();
    // The first connection is the monitor's own: the connector may still be about to confine itself.
    eventually("the connector is confined", || {
        let status = fs::read_to_string(format!("/proc/{connector}/status")).expect("it runs");
        status.contains("CapEff:\t0000000000000000") && status.contains("Seccomp:\t2")
    });
    // The connection that it has handed over is closed a moment later.
    eventually("its end of the socket pair is all that it has", || {
        fs::read_dir(format!("/proc/{connector}/fd")).expect("there").count() == 1
    });
    child.kill().expect("it runs");
    finish(child);
    eventually("the connector ends", || !e2e::is_alive(connector.parse().expect("a number")));
    let _ = stream.as_fd();
    fs::remove_file(&path).expect("it was bound");
}
