//! ClickOS in front of real hosts: each example with real packets.

use crate::function::Function;
use e2e::net::Namespace;
use e2e::{RunFolder, eventually, run, unique};
use machine::status;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

fn echoes(socket: &UdpSocket, to: &str) -> bool {
    let mut buffer = [0; 2000];
    socket.send_to(b"a question", to).expect("sent");
    socket.recv_from(&mut buffer).is_ok_and(|(n, _)| &buffer[..n] == b"a question")
}

#[test]
fn firewall_passes_dns_and_drops_the_rest() {
    let f = Function::new("firewall", 1, &[]);
    assert!(f.sides[0].pings("10.1.0.1", 5));
    let socket = f.sides[0].udp("10.1.0.2:0");
    assert!(echoes(&socket, "10.1.0.1:53"));
    assert!(!echoes(&socket, "10.1.0.1:5060"));
    assert_eq!((f.count("passed.count"), f.count("ping.count")), (1, 5));
    assert!(f.count("dropped.count") >= 1);
    f.click(&["write", "passed.reset"]).ends(0, "");
    assert_eq!(f.count("passed.count"), 0);
    f.click(&["read", "nothing.count"]).ends(status::CONFIGURATION_REFUSED, "nothing");
    f.click(&["write", "passed.count", "7"]).ends(status::CONFIGURATION_REFUSED, "");
}

#[test]
fn first_packet_is_on_the_timeline() {
    let f = Function::new("firewall", 1, &[]);
    assert!(f.sides[0].pings("10.1.0.1", 1));
    let timeline = f.folder.run(&["timeline", "nf"]);
    for phase in ["devices", "configure", "ready", "first-packet"] {
        assert!(timeline.out.contains(phase), "{timeline:?}");
    }
}

#[test]
fn mirror_sends_back_what_it_gets() {
    let f = Function::new("mirror", 1, &[]);
    let socket = f.sides[0].udp("10.1.0.2:0");
    let mut buffer = [0; 2000];
    for length in [0usize, 1, 64, 500, 1472] {
        let sent: Vec<u8> = (0..length).map(|i| i as u8).collect();
        socket.send_to(&sent, "10.1.0.1:7777").expect("sent");
        let (n, from) = socket.recv_from(&mut buffer).expect("it comes back");
        assert_eq!((&buffer[..n], from.port()), (&sent[..], 7777));
    }
    assert_eq!(f.count("mirrored.count"), 5);
}

#[test]
fn mirror_keeps_up_with_bursts() {
    let f = Function::new("mirror", 1, &[]);
    let socket = f.sides[0].udp("10.1.0.2:0");
    assert!(echoes(&socket, "10.1.0.1:9"));
    let mut buffer = [0; 2000];
    let (mut sent, mut came) = (0u32, 0u32);
    for _ in 0..200 {
        for _ in 0..20 {
            sent += u32::from(socket.send_to(b"burst", "10.1.0.1:9").is_ok());
        }
        for _ in 0..20 {
            came += u32::from(socket.recv(&mut buffer).is_ok());
        }
    }
    assert_eq!(came, sent);
}

#[test]
fn no_packet_is_lost_while_configurations_are_swapped() {
    let f = Function::new("mirror", 1, &[]);
    let socket = f.sides[0].udp("10.1.0.2:0");
    assert!(echoes(&socket, "10.1.0.1:9"));
    let over = std::sync::atomic::AtomicBool::new(false);
    let (sent, came) = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut sent, mut came, mut buffer) = (0u32, 0u32, [0; 2000]);
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                for _ in 0..20 {
                    sent += u32::from(socket.send_to(b"burst", "10.1.0.1:9").is_ok());
                }
                for _ in 0..20 {
                    came += u32::from(socket.recv(&mut buffer).is_ok());
                }
            }
            (sent, came)
        });
        for _ in 0..20 {
            f.click(&["swap", "examples/mirror.click"]).ends(0, "");
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        load.join().expect("no panic")
    });
    assert!(sent > 100 && came == sent, "{came} of {sent} came back");
    assert_eq!(f.count("mirrored.count"), u64::from(sent) + 1);
}

#[test]
fn handlers_are_listed_and_a_profile_says_where_packets_go() {
    let f = Function::new("firewall", 1, &[]);
    let all = f.click(&["handlers"]);
    assert!(all.out.contains("passed.count") && all.out.contains("out.capacity"), "{all:?}");
    let one = f.click(&["handlers", "out"]);
    assert!(one.out.contains("out.length") && !one.out.contains("passed"), "{one:?}");
    f.click(&["handlers", "nothing"]).ends(status::CONFIGURATION_REFUSED, "nothing");
    let profile = std::thread::scope(|scope| {
        let profile = scope.spawn(|| f.click(&["profile", "--during", "1", "--json"]));
        assert!(f.sides[0].pings("10.1.0.1", 5));
        profile.join().expect("no panic")
    });
    let rows: serde_json::Value = serde_json::from_str(&profile.out).unwrap_or_default();
    let ping = rows.as_array().and_then(|rows| rows.iter().find(|r| r["element"] == "ping"));
    let ping = ping.unwrap_or_else(|| panic!("{profile:?}"));
    assert!(ping["packets"].as_u64() > Some(0) && ping["cycles_per_packet"].as_u64() > Some(0), "{ping}");
}

#[test]
fn router_routes_between_two_networks() {
    let f = Function::new("router", 2, &[]);
    let (left, right) = (&f.sides[0], &f.sides[1]);
    left.ip(&["route", "add", "default", "via", "10.1.0.1"]);
    right.ip(&["route", "add", "default", "via", "10.2.0.1"]);
    assert!(left.pings("10.1.0.1", 2), "the router answers for its own address");
    assert!(left.pings("10.2.0.1", 2), "and for that of its other side");
    assert!(left.pings("10.2.0.2", 3), "and forwards");
    assert!(f.count("forwarded0.count") >= 3 && f.count("forwarded1.count") >= 3);

    let server = right.udp("10.2.0.2:4000");
    let client = left.udp("10.1.0.2:0");
    client.send_to(b"there", "10.2.0.2:4000").expect("sent");
    let mut buffer = [0; 100];
    let (n, from) = server.recv_from(&mut buffer).expect("it arrives");
    assert_eq!((&buffer[..n], from.ip().to_string().as_str()), (&b"there"[..], "10.1.0.2"));

    let short = left.command(&["ping", "-n", "-c", "1", "-W", "2", "-t", "1", "10.2.0.2"]);
    let mut short = short;
    let outcome = run(&mut short);
    assert!(outcome.out.contains("Time to live exceeded"), "{outcome:?}");
    let nowhere = run(&mut left.command(&["ping", "-n", "-c", "1", "-W", "2", "203.0.113.9"]));
    assert!(nowhere.out.contains("Net Unreachable"), "{nowhere:?}");
    assert_eq!(f.count("unknown.count"), 1);
}

#[test]
fn load_generator_sends_what_it_was_told_and_ends() {
    let (folder, namespace, tap) = (RunFolder::new(), Namespace::new(), unique("t"));
    let option = format!("{tap},netns={},address=10.1.0.2/24,guest=10.1.0.1/24", namespace.name);
    let begun = Instant::now();
    let outcome = folder.run(&[
        "run",
        "examples/loadgen.click",
        "--tap",
        &option,
        "--set",
        "TARGET=10.1.0.2",
        "--set",
        "RATE=2000",
        "--set",
        "LIMIT=1000",
    ]);
    outcome.ends(0, "");
    assert!(outcome.out.contains("made 1000 packets"), "{outcome:?}");
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    eventually("the TAP is gone", || !namespace.devices().contains(&tap));
}

#[test]
fn configuration_can_be_swapped_and_a_bad_one_changes_nothing() {
    let f = Function::new("firewall", 1, &[]);
    let socket = f.sides[0].udp("10.1.0.2:0");
    assert!(!echoes(&socket, "10.1.0.1:5060"));
    let bad = std::env::temp_dir().join(format!("{}.click", unique("bad")));
    std::fs::write(&bad, "Idle -> Nonsense;").expect("written");
    let refused = f.click(&["swap", bad.to_str().expect("UTF-8")]);
    let _ = std::fs::remove_file(bad);
    refused.ends(status::CONFIGURATION_REFUSED, "Nonsense");
    assert!(echoes(&socket, "10.1.0.1:53"));
    f.click(&["swap", "examples/mirror.click"]).ends(0, "");
    assert!(echoes(&socket, "10.1.0.1:5060"));
}

#[test]
fn names_scripts_and_proxies_work_in_a_guest() {
    let f = Function::new("mirror", 1, &[]);
    let path = std::env::temp_dir().join(format!("{}.click", unique("control")));
    let text = "PortInfo(game 5060/udp); AlignmentInfo(IGNORED 4 0); RandomSeed(7);
        ScheduleInfo(idle 0.5); idle :: InfiniteSource(LIMIT 0) -> Discard; HandlerProxy@1 :: HandlerProxy;
        sum :: Script(TYPE PROXY, return $(add $(small.count) $(large.count)));
        small, large, other :: Counter;
        size :: Script(TYPE PACKET, set n $(add $n 1), return $(mod $n 2));
        FromDevice(eth0) -> kind :: Classifier(12/0806 20/0001, 12/0800, -);
        kind [0] -> ARPResponder(eth0:ip eth0:eth) -> out :: Queue -> ToDevice(eth0);
        kind [1] -> Strip(14) -> CheckIPHeader
            -> ports :: IPFilter(allow udp dst port game, drop all)
            -> size; size [0] -> small -> back :: Null; size [1] -> large -> back;
        back -> IPMirror -> Unstrip(14) -> EtherMirror -> out;
        kind [2] -> other -> Discard;";
    std::fs::write(&path, text).expect("written");
    let done = f.click(&["swap", path.to_str().expect("UTF-8")]);
    let _ = std::fs::remove_file(path);
    done.ends(0, "");
    let socket = f.sides[0].udp("10.1.0.2:0");
    for _ in 0..4 {
        assert!(echoes(&socket, "10.1.0.1:5060"));
    }
    assert!(!echoes(&socket, "10.1.0.1:53"));
    assert_eq!((f.count("small.count"), f.count("large.count")), (2, 2));
    assert_eq!(f.count("sum.count"), 4);
    assert_eq!(f.count("HandlerProxy@1.small.count"), 2);
}

#[test]
fn idle_instance_uses_no_processor_time() {
    let f = Function::new("firewall", 1, &[]);
    assert!(f.sides[0].pings("10.1.0.1", 1));
    let records: serde_json::Value =
        serde_json::from_str(&f.folder.run(&["ps", "--json"]).out).expect("JSON");
    let pid = records[0]["pid"].as_u64().expect("a process");
    // The namespace itself still has router solicitations to send.
    run(Command::new("ip").args([
        "netns",
        "exec",
        &f.sides[0].name,
        "sysctl",
        "-qw",
        "net.ipv6.conf.all.disable_ipv6=1",
    ]));
    std::thread::sleep(Duration::from_millis(300));
    let wakeups = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("voluntary_ctxt_switches")).map(str::to_owned);
        line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).expect("it runs")
    };
    let before = wakeups();
    std::thread::sleep(Duration::from_secs(2));
    assert!(wakeups() - before <= 2, "a periodic timer wakes it");
}

#[test]
fn variables_reach_the_configuration() {
    let f = Function::new("firewall", 1, &["--set", "ADDR=10.1.0.77"]);
    assert!(f.sides[0].pings("10.1.0.77", 1));
    let outcome = run(&mut f.sides[0].command(&["ping", "-n", "-c", "1", "-W", "1", "10.1.0.1"]));
    assert_ne!(outcome.status, 0, "{outcome:?}");
}

#[test]
fn configurations_nest_in_a_guest_as_deep_as_on_the_host() {
    let f = Function::new("mirror", 1, &[]);
    let swap = |depth: usize| {
        let path = std::env::temp_dir().join(format!("{}.click", unique("deep")));
        let mut text = "elementclass C0 { input -> Null -> output }\n".to_owned();
        for i in 1..90 {
            text += &format!("elementclass C{i} {{ input -> C{} -> output }}\n", i - 1);
        }
        text += "FromDevice(eth0) -> C89 -> ";
        text += &"{ input -> ( -> ".repeat(depth / 2);
        text += "Null";
        text += &" -> ) -> output }".repeat(depth / 2);
        text += " -> Discard;";
        std::fs::write(&path, text).expect("written");
        let done = f.click(&["swap", path.to_str().expect("UTF-8")]);
        let _ = std::fs::remove_file(path);
        done
    };
    swap(50).ends(0, "");
    swap(52).ends(status::CONFIGURATION_REFUSED, "nesting depth exceeded");
    f.click(&["swap", "examples/mirror.click"]).ends(0, "");
}

#[test]
fn memory_of_flows_goes_back_to_the_host() {
    let (folder, host) = (RunFolder::new(), Namespace::new());
    let file = folder.0.with_extension("click");
    let text = "FromDevice(eth0) -> c :: Classifier(12/0806 20/0001, 12/0800, -);
        c [0] -> ARPResponder(eth0) -> q :: Queue -> ToDevice(eth0);
        c [1] -> Strip(14) -> CheckIPHeader
        -> rw :: IPRewriter(pattern 1.0.0.1 1024-65535# - - 0 0, UDP_TIMEOUT 2, UDP_GUARANTEE 1, REAP_INTERVAL 1) -> Discard;
        c [2] -> Discard;";
    std::fs::write(&file, text).expect("written");
    let path = file.display().to_string();
    let tap = format!("{},netns={},address=10.1.0.2/24,guest=10.1.0.1/24", unique("t"), host.name);
    folder.run(&["run", &path, "--name", "nf", "--detach", "--memory", "128", "--tap", &tap]).ends(0, "");
    let before = folder.guest_memory();
    let sockets: Vec<UdpSocket> = (0..16).map(|_| host.udp("10.1.0.2:0")).collect();
    for round in 0..2 {
        // What meets a full queue is lost, which is much where others are at work: then once more.
        let mut full = 0;
        for _ in 0..10 {
            for port in 1..=4000u16 {
                for socket in &sockets {
                    let _ = socket.send_to(b"a flow", ("10.1.0.1", port));
                }
            }
            full = folder.guest_memory();
            if full > before + (4 << 20) {
                break;
            }
        }
        assert!(full > before + (4 << 20), "{before} {full}");
        let flows = || folder.run(&["click", "nf", "read", "rw.table_size"]).out;
        eventually("the flows have ended", || flows().trim() == "0");
        eventually("the host has their memory back", || folder.guest_memory() < before + (full - before) / 3);
        eprintln!("round {round}: {before} bytes before, {full} with flows, {} after", folder.guest_memory());
    }
    folder.run(&["stop", "nf"]).ends(0, "");
    folder.is_empty_soon();
    let _ = std::fs::remove_file(&file);
}
