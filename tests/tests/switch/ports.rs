//! The switch as a person has it: namespaces on its ports, its command line, changes while it runs.

use e2e::net::Namespace;
use e2e::switch::{Switch, tap};
use e2e::{eventually, run, start};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switch::config::Config;
use switch::control::{Client, Event, Request};
use switch::counters::Reason;

const S: &str = "segment = \"s\"";

#[test]
fn hosts_reach_each_other_and_are_learned() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let switch = Switch::new(&format!("[segments.s]\n{}{}", tap("ta", &a, S), tap("tb", &b, S)));
    a.address("ta", "10.1.0.1/24");
    b.address("tb", "10.1.0.2/24");
    assert!(a.pings("10.1.0.2", 5));
    let fdb = switch.command(&["fdb"]);
    assert!(fdb.out.contains("ta") && fdb.out.contains("tb"), "{fdb:?}");
    let show = switch.command(&["show"]);
    assert!(show.out.contains("DROPPED") && show.out.contains("tap"), "{show:?}");
}

#[test]
fn an_address_in_use_stays_known_to_all_threads() {
    let (a, b, c) = (Namespace::new(), Namespace::new(), Namespace::new());
    let thread = |n| format!("{S}\nthread = {n}");
    let switch = Switch::new(&format!(
        "[switch]\nthreads = 2\nageing-s = 2\n[segments.s]\n{}{}{}",
        tap("ta", &a, &thread(0)),
        tap("tb", &b, &thread(1)),
        tap("tc", &c, &thread(1))
    ));
    a.address("ta", "10.1.0.1/24");
    b.address("tb", "10.1.0.2/24");
    assert!(a.pings("10.1.0.2", 5));
    let before = switch.port("tc").counters.sent;
    let ping = run(&mut a.command(&["ping", "-q", "-c", "70", "-i", "0.1", "10.1.0.2"]));
    ping.ends(0, "");
    // Hosts ask for each other now and then, and nothing else is for everybody.
    let flooded = switch.port("tc").counters.sent - before;
    assert!(flooded < 20, "{flooded} packets of others came to a third host");
}

#[test]
fn a_port_without_offloads_gets_whole_segments() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let plain = "segment = \"s\"\noffload = false";
    let switch = Switch::new(&format!("[segments.s]\n{}{}", tap("ta", &a, S), tap("tb", &b, plain)));
    a.address("ta", "10.1.0.1/24");
    b.address("tb", "10.1.0.2/24");
    let mut server = b.command(&["iperf3", "-s", "-1", "-p", "5301"]);
    let server = server.stdout(Stdio::null()).spawn().expect("iperf3 is installed");
    eventually("the server listens", || run(&mut b.command(&["ss", "-tln"])).out.contains(":5301"));
    let client = run(&mut a.command(&["iperf3", "-c", "10.1.0.2", "-p", "5301", "-n", "50M"]));
    assert_eq!(client.status, 0, "{client:?}");
    e2e::finish(server);
    let counters = switch.port("tb").counters;
    assert!(counters.sent > 30_000, "50 MB are more than 30,000 segments: {counters:?}");
    assert!(switch.port("ta").counters.received < counters.sent / 4, "large segments came in");
}

#[test]
fn ports_come_and_go_by_command() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let switch = Switch::new(&format!("[segments.s]\n{}", tap("ta", &a, S)));
    let added = switch.command(&["port", "add", "tb", "--tap", "tb", "--netns", &b.name, "--segment", "s"]);
    assert_eq!((added.status, added.out.as_str()), (0, "+ ports.tb\n"), "{added:?}");
    a.address("ta", "10.1.0.1/24");
    b.address("tb", "10.1.0.2/24");
    assert!(a.pings("10.1.0.2", 3));
    let removed = switch.command(&["port", "remove", "tb"]);
    assert_eq!(removed.out, "- ports.tb\n", "{removed:?}");
    assert!(!b.devices().contains("tb"), "the TAP is gone");
    switch.command(&["port", "remove", "tb"]).ends(122, "there is no port tb");
    switch
        .command(&["port", "add", "x", "--tap", "tx", "--segment", "nowhere"])
        .ends(122, "no segment nowhere");
    switch.command(&["port", "show", "tb"]).ends(122, "there is no port tb");
}

#[test]
fn a_change_is_made_as_a_whole_or_not_at_all() {
    let a = Namespace::new();
    let switch = Switch::new(&format!("[segments.s]\n{}", tap("ta", &a, S)));
    let before = switch.command(&["config"]).out;
    let bad = format!(
        "[segments.s]\n[segments.t]\n[ports.v]\ndevice = {{ vhost-user = {{ path = \"@/v.sock\" }} }}\n{}\
         [ports.z]\ndevice = {{ packet = {{ interface = \"nosuch0\" }} }}\n",
        tap("ta", &a, "segment = \"t\"\nmtu = 9000")
    );
    let file = switch.folder.join("bad.toml");
    std::fs::write(&file, switch.here(&bad)).expect("written");
    switch.command(&["apply", &file.display().to_string()]).ends(122, "nosuch0");
    assert_eq!(switch.command(&["config"]).out, before);
    assert!(!switch.folder.join("v.sock").exists());
    assert!(switch.port("ta").up);
    let dry = switch.command(&["apply", "--dry-run", &file.display().to_string()]);
    assert_eq!(dry.out, "~ ports.ta\n+ segments.t\n+ ports.v\n+ ports.z\n");
    std::fs::write(&file, "[segment.s]").expect("written");
    switch.command(&["apply", &file.display().to_string()]).ends(122, "unknown field");
}

#[test]
fn a_capture_is_read_by_tshark() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let switch = Switch::new(&format!("[segments.s]\n{}{}", tap("ta", &a, S), tap("tb", &b, S)));
    a.address("ta", "10.1.0.1/24");
    b.address("tb", "10.1.0.2/24");
    let file = switch.folder.join("capture.pcapng");
    let mut capture = Command::new(e2e::program("microvisor"));
    capture.args(["switch", "--socket"]).arg(switch.control()).args(["capture", "tb"]);
    let mut capture = capture.stdout(std::fs::File::create(&file).expect("made")).spawn().expect("it starts");
    eventually("the capture has begun", || std::fs::metadata(&file).is_ok_and(|m| m.len() > 0));
    assert!(a.pings("10.1.0.2", 3));
    let read = || run(Command::new("tshark").args(["-r"]).arg(&file).args(["-Y", "icmp"])).out;
    eventually("requests and replies are in it", || read().lines().count() >= 6);
    assert!(read().contains("Echo (ping) request") && read().contains("Echo (ping) reply"));
    let _ = capture.kill();
    let _ = capture.wait();
}

#[test]
fn several_captures_of_a_port_do_not_disturb_each_other() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let switch = Switch::new(&format!("[segments.s]\n{}{}", tap("ta", &a, S), tap("tb", &b, S)));
    a.address("ta", "10.1.0.1/24");
    b.address("tb", "10.1.0.2/24");
    let begin = |n: usize| {
        let file = switch.folder.join(format!("capture{n}.pcapng"));
        let mut capture = Command::new(e2e::program("microvisor"));
        capture.args(["switch", "--socket"]).arg(switch.control()).args(["capture", "tb"]);
        let capture = capture.stdout(std::fs::File::create(&file).expect("made")).spawn().expect("it starts");
        eventually("the capture has begun", || std::fs::metadata(&file).is_ok_and(|m| m.len() > 0));
        (capture, file)
    };
    let (mut first, first_file) = begin(1);
    let (mut second, second_file) = begin(2);
    let packets = |file: &std::path::Path| {
        run(Command::new("tshark").arg("-r").arg(file).args(["-Y", "icmp"])).out.lines().count()
    };
    assert!(a.pings("10.1.0.2", 3));
    eventually("the first has them", || packets(&first_file) >= 6);
    eventually("the second has them", || packets(&second_file) >= 6);
    let _ = second.kill();
    let _ = second.wait();
    std::thread::sleep(Duration::from_millis(500));
    assert!(a.pings("10.1.0.2", 3));
    eventually("the first goes on", || packets(&first_file) >= 12);
    let _ = first.kill();
    let _ = first.wait();
}

#[test]
fn who_missed_that_an_address_is_wanted_is_told_again() {
    let a = Namespace::new();
    let switch = Switch::new(&format!(
        "[segments.s]\nanswer-neighbours = true\n{}\
         [announced.guest]\nsegment = \"s\"\nmac = \"02:00:00:00:00:99\"\naddresses = [\"10.1.0.9\"]\ntime-ms = 6000",
        tap("ta", &a, S)
    ));
    a.address("ta", "10.1.0.1/24");
    let ping = start(&mut a.command(&["ping", "-n", "-c", "1", "-W", "8", "10.1.0.9"]));
    eventually("the packet waits", || switch.status().held.iter().any(|h| h.packets == 1));
    let mut events = Client::connect(&switch.control()).expect("it listens");
    events.call(&Request::Events, Duration::from_secs(5)).expect("granted");
    for _ in 0..2 {
        let told = events.event(Some(Duration::from_secs(3)));
        assert!(matches!(told, Ok(Event::Wanted { .. })), "{told:?}");
    }
    e2e::finish(ping);
}

#[test]
fn a_limited_port_is_held_to_its_rate() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let limited = "segment = \"s\"\nlimit-in = { mbit = 200 }";
    let switch = Switch::new(&format!("[segments.s]\n{}{}", tap("ta", &a, limited), tap("tb", &b, S)));
    a.address("ta", "10.1.0.1/24");
    b.address("tb", "10.1.0.2/24");
    assert!(a.pings("10.1.0.2", 1));
    let mut server = b.command(&["iperf3", "-s", "-1", "-p", "5301"]);
    let server = start(server.stdin(Stdio::null()));
    eventually("the server listens", || run(&mut b.command(&["ss", "-tln"])).out.contains(":5301"));
    let begun = Instant::now();
    let client = run(&mut a.command(&["iperf3", "-c", "10.1.0.2", "-p", "5301", "-n", "50M"]));
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(client.status, 0, "{client:?}");
    e2e::finish(server);
    // 50 MiB are 419 Mbit: no faster than the limit allows, with its burst.
    assert!(took > 1.9, "{took}");
    assert_eq!(switch.dropped("ta", Reason::Rate), 0, "the sender waits, nothing is lost");
}

#[test]
fn the_first_packet_for_a_port_that_does_not_exist_yet_is_not_lost() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let switch = Switch::new(&format!(
        "[segments.s]\nanswer-neighbours = true\n{}\
         [announced.guest]\nsegment = \"s\"\nmac = \"02:00:00:00:00:99\"\naddresses = [\"10.1.0.9\"]",
        tap("ta", &a, S)
    ));
    a.address("ta", "10.1.0.1/24");
    b.ip(&["tuntap", "add", "tb", "mode", "tap", "vnet_hdr"]);
    b.ip(&["link", "set", "tb", "address", "02:00:00:00:00:99"]);
    b.address("tb", "10.1.0.9/24");
    b.ip(&["link", "set", "tb", "up"]);
    b.ip(&["neigh", "add", "10.1.0.1", "lladdr", &mac_of(&a, "ta"), "dev", "tb"]);
    let mut events = Client::connect(&switch.control()).expect("it listens");
    events.call(&Request::Events, Duration::from_secs(5)).expect("granted");
    let ping = start(&mut a.command(&["ping", "-n", "-c", "4", "-W", "5", "10.1.0.9"]));
    let wanted = loop {
        let event = events.event(Some(Duration::from_secs(5))).expect("news");
        if let Event::Wanted { announced } = event {
            break announced;
        }
    };
    assert_eq!(wanted, "guest");
    eventually("the packet waits", || switch.status().held.iter().any(|h| h.packets == 1));
    let added = switch.command(&[
        "port",
        "add",
        "tb",
        "--tap",
        "tb",
        "--netns",
        &b.name,
        "--segment",
        "s",
        "--mac",
        "02:00:00:00:00:99",
        "--address",
        "10.1.0.9",
    ]);
    assert_eq!(added.status, 0, "{added:?}");
    // The kernel drops the answer to the first if its side of the TAP is not awake yet.
    assert!(switch.port("tb").counters.sent >= 1, "what waited is delivered when the port appears");
    assert!(switch.status().held.is_empty());
    let ping = e2e::finish(ping);
    assert!(ping.out.contains("bytes from"), "{ping:?}");
}

fn mac_of(host: &Namespace, device: &str) -> String {
    let out = run(&mut host.command(&["cat", &format!("/sys/class/net/{device}/address")])).out;
    out.trim().to_owned()
}

/// Two switches with two veth pairs between them.
#[test]
fn a_killed_switch_starts_again_where_it_was() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let config = format!(
        "[segments.s]\n{}{}[ports.v]\ndevice = {{ vhost-user = {{ path = \"@/v.sock\" }} }}\n",
        tap("ta", &a, S),
        tap("tb", &b, S)
    );
    let mut switch = Switch::new(&config);
    switch.kill();
    switch.start(&config);
    a.address("ta", "10.1.0.1/24");
    b.address("tb", "10.1.0.2/24");
    assert!(a.pings("10.1.0.2", 3));
}

#[test]
fn nonsense_is_refused_with_words() {
    let vmm = |arguments: &[&str]| run(Command::new(e2e::program("microvisor-switch")).args(arguments));
    vmm(&["--config", "/nonexistent"]).ends(122, "/nonexistent");
    vmm(&["--nonsense"]).ends(122, "unexpected argument");
    let nobody = Command::new(e2e::program("microvisor"))
        .args(["switch", "--socket", "/nonexistent", "show"])
        .output()
        .expect("it runs");
    assert_eq!(nobody.status.code(), Some(124));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no switch listens"));
    let switch = Switch::new("");
    for line in ["{}", "[]", "{\"request\":\"fly\"}", "\u{0}", "{\"request\":\"apply\",\"config\":7}"] {
        let mut stream = std::os::unix::net::UnixStream::connect(switch.control()).expect("it listens");
        std::io::Write::write_all(&mut stream, format!("{line}\n").as_bytes()).expect("taken");
        let mut answer = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut answer).expect("answered");
        assert!(answer.contains("refused"), "{line}: {answer}");
    }
    let check = Config::from_toml("[switch]\nthreads = 0").expect("parsed").check();
    assert!(check.is_err());
}
