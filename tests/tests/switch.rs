//! The switch as a person has it: namespaces on its ports, its command line, changes while it runs.

use e2e::net::Namespace;
use e2e::switch::Switch;
use e2e::{eventually, run, start};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switch::config::Config;
use switch::control::{Client, Event, Request};
use switch::counters::Reason;

fn tap(name: &str, host: &Namespace, rest: &str) -> String {
    let netns = &host.name;
    format!("[ports.{name}]\ndevice = {{ tap = {{ name = \"{name}\", netns = \"{netns}\" }} }}\n{rest}\n")
}

/// A namespace with an address on a TAP that is there already.
fn address(host: &Namespace, device: &str, address: &str) {
    host.ip(&["addr", "add", address, "dev", device]);
}

const S: &str = "segment = \"s\"";

#[test]
fn hosts_reach_each_other_and_are_learned() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let switch = Switch::new(&format!("[segments.s]\n{}{}", tap("ta", &a, S), tap("tb", &b, S)));
    address(&a, "ta", "10.1.0.1/24");
    address(&b, "tb", "10.1.0.2/24");
    assert!(a.pings("10.1.0.2", 5));
    let fdb = switch.command(&["fdb"]);
    assert!(fdb.out.contains("ta") && fdb.out.contains("tb"), "{fdb:?}");
    let show = switch.command(&["show"]);
    assert!(show.out.contains("DROPPED") && show.out.contains("tap"), "{show:?}");
}

#[test]
fn a_port_without_offloads_gets_whole_segments() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let plain = "segment = \"s\"\noffload = false";
    let switch = Switch::new(&format!("[segments.s]\n{}{}", tap("ta", &a, S), tap("tb", &b, plain)));
    address(&a, "ta", "10.1.0.1/24");
    address(&b, "tb", "10.1.0.2/24");
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
    address(&a, "ta", "10.1.0.1/24");
    address(&b, "tb", "10.1.0.2/24");
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
    address(&a, "ta", "10.1.0.1/24");
    address(&b, "tb", "10.1.0.2/24");
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
fn a_limited_port_is_held_to_its_rate() {
    let (a, b) = (Namespace::new(), Namespace::new());
    let limited = "segment = \"s\"\nlimit-in = { mbit = 200 }";
    let switch = Switch::new(&format!("[segments.s]\n{}{}", tap("ta", &a, limited), tap("tb", &b, S)));
    address(&a, "ta", "10.1.0.1/24");
    address(&b, "tb", "10.1.0.2/24");
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
    address(&a, "ta", "10.1.0.1/24");
    b.ip(&["tuntap", "add", "tb", "mode", "tap", "vnet_hdr"]);
    b.ip(&["link", "set", "tb", "address", "02:00:00:00:00:99"]);
    address(&b, "tb", "10.1.0.9/24");
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
struct Linked {
    a: Namespace,
    b: Namespace,
    middle: Namespace,
    left: Switch,
    right: Switch,
}

impl Linked {
    #[track_caller]
    fn new(bond: &str, kind: &str) -> Self {
        let (a, b, middle) = (Namespace::new(), Namespace::new(), Namespace::new());
        for n in [1, 2] {
            middle.ip(&["link", "add", &format!("l{n}"), "type", "veth", "peer", "name", &format!("r{n}")]);
            for end in ["l", "r"] {
                let device = format!("{end}{n}");
                run(&mut middle.command(&[
                    "sysctl",
                    "-qw",
                    &format!("net.ipv6.conf.{device}.disable_ipv6=1"),
                ]));
                middle.ip(&["link", "set", &device, "up"]);
            }
        }
        let side = |host: &Namespace, tap_name: &str, end: &str| {
            let netns = &middle.name;
            let link = |n| {
                format!(
                    "[ports.{end}{n}]\ndevice = {{ {kind} = {{ interface = \"{end}{n}\", netns = \"{netns}\" }} }}\n\
                     offload = false\n"
                )
            };
            format!(
                "[segments.s]\n{}{}{}[ports.bond]\ndevice = {{ bond = {{ links = [\"{end}1\", \"{end}2\"], {bond} }} }}\n{S}\n",
                tap(tap_name, host, S),
                link(1),
                link(2)
            )
        };
        let left = Switch::new(&side(&a, "ta", "l"));
        let right = Switch::new(&side(&b, "tb", "r"));
        address(&a, "ta", "10.1.0.1/24");
        address(&b, "tb", "10.1.0.2/24");
        left.is_up_soon("bond");
        right.is_up_soon("bond");
        Self { a, b, middle, left, right }
    }

    /// Pings every 10 ms while a link is cut; how many pings in a row were lost at most.
    fn lost_in_a_row_when_cut(&self, link: &str) -> usize {
        let mut ping =
            self.a.command(&["ping", "-n", "-O", "-i", "0.01", "-c", "200", "-W", "1", "10.1.0.2"]);
        let ping = start(&mut ping);
        std::thread::sleep(Duration::from_millis(700));
        self.middle.ip(&["link", "set", link, "down"]);
        let out = e2e::finish(ping).out;
        let mut worst = 0;
        let mut last = 0;
        for line in out.lines().filter(|l| l.contains("time=")) {
            let sequence = line.split("icmp_seq=").nth(1).and_then(|s| s.split(' ').next());
            let Some(sequence) = sequence.and_then(|s| s.parse::<usize>().ok()) else { continue };
            worst = worst.max(sequence - last - 1);
            last = sequence;
        }
        assert!(last >= 190, "pings go on: {out}");
        worst
    }
}

#[test]
fn traffic_of_a_dead_link_moves_to_the_others() {
    let linked = Linked::new("mode = \"balance-xor\"", "packet");
    assert!(linked.a.pings("10.1.0.2", 3));
    // At 100 pings a second, fewer than ten lost in a row are less than 100 ms.
    for link in ["l1", "l2"] {
        let lost = linked.lost_in_a_row_when_cut(link);
        assert!(lost < 10, "{link}: {lost}");
        linked.middle.ip(&["link", "set", link, "up"]);
        linked.left.is_up_soon(link);
        linked.right.is_up_soon(&link.replace('l', "r"));
    }
}

#[test]
fn an_active_backup_bond_uses_one_link_and_then_the_other() {
    let linked = Linked::new("mode = \"active-backup\"", "packet");
    let active = |switch: &Switch| -> Vec<String> {
        let links = switch.port("bond").bond.expect("a bond").links;
        links.into_iter().filter(|l| l.active).map(|l| l.port).collect()
    };
    assert_eq!((active(&linked.left), active(&linked.right)), (vec!["l1".to_owned()], vec!["r1".to_owned()]));
    assert!(linked.lost_in_a_row_when_cut("l1") < 10);
    assert_eq!((active(&linked.left), active(&linked.right)), (vec!["l2".to_owned()], vec!["r2".to_owned()]));
}

#[test]
fn two_switches_agree_by_lacp() {
    let linked = Linked::new("mode = \"802.3ad\", lacp-rate = \"fast\"", "packet");
    eventually("both links carry packets", || {
        let bond = linked.left.port("bond").bond.expect("a bond");
        bond.links.iter().all(|l| l.active)
    });
    assert!(linked.a.pings("10.1.0.2", 3));
    let shown = linked.left.command(&["bond"]);
    assert!(shown.out.contains("mux distributing") && shown.out.contains("partner"), "{shown:?}");
    assert!(linked.lost_in_a_row_when_cut("r1") < 10);
}

#[test]
fn packets_cross_by_af_xdp() {
    let linked = Linked::new("mode = \"balance-xor\"", "xdp");
    assert!(linked.a.pings("10.1.0.2", 5));
    let mut server = linked.b.command(&["iperf3", "-s", "-1", "-p", "5301"]);
    let server = start(server.stdin(Stdio::null()));
    eventually("the server listens", || run(&mut linked.b.command(&["ss", "-tln"])).out.contains(":5301"));
    let client = run(&mut linked.a.command(&["iperf3", "-c", "10.1.0.2", "-p", "5301", "-n", "20M"]));
    assert_eq!(client.status, 0, "{client:?}");
    e2e::finish(server);
}

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
    address(&a, "ta", "10.1.0.1/24");
    address(&b, "tb", "10.1.0.2/24");
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
