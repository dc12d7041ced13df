//! Bonds: two switches with two links between them, which are cut, taken away and given back under traffic.

use e2e::net::Namespace;
use e2e::switch::{Switch, tap};
use e2e::{eventually, run, start};
use std::process::Stdio;
use std::time::{Duration, Instant};
use switch::bond::lacp::LinkSnapshot;

const S: &str = "segment = \"s\"";

/// Most pings in a row without an answer.
fn longest_gap(out: &str) -> usize {
    let mut worst = 0;
    let mut last = 0;
    for line in out.lines().filter(|l| l.contains("time=")) {
        let sequence = line.split("icmp_seq=").nth(1).and_then(|s| s.split(' ').next());
        let Some(sequence) = sequence.and_then(|s| s.parse::<usize>().ok()) else { continue };
        worst = worst.max(sequence - last - 1);
        last = sequence;
    }
    worst
}

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
        a.address("ta", "10.1.0.1/24");
        b.address("tb", "10.1.0.2/24");
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
        let answered = out.lines().filter(|l| l.contains("time=")).count();
        assert!(answered >= 180, "pings go on: {out}");
        longest_gap(&out)
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
    let active = Linked::active;
    assert_eq!((active(&linked.left), active(&linked.right)), (vec!["l1".to_owned()], vec!["r1".to_owned()]));
    assert!(linked.lost_in_a_row_when_cut("l1") < 10);
    assert_eq!((active(&linked.left), active(&linked.right)), (vec!["l2".to_owned()], vec!["r2".to_owned()]));
}

#[test]
fn two_switches_agree_by_lacp() {
    let linked = Linked::new(FAST, "packet");
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

const FAST: &str = "mode = \"802.3ad\", lacp-rate = \"fast\"";

impl Linked {
    /// Waits until all links carry packets.
    #[track_caller]
    fn all_active(&self) {
        for switch in [&self.left, &self.right] {
            eventually("all links carry packets", || {
                switch.port("bond").bond.expect("a bond").links.iter().all(|l| l.active)
            });
        }
    }

    /// What the left switch, or the right, knows of a link.
    #[track_caller]
    fn lacp(switch: &Switch, link: &str) -> LinkSnapshot {
        let links = switch.port("bond").bond.expect("a bond").links;
        links.into_iter().find(|l| l.port == link).and_then(|l| l.lacp).expect("a link with LACP")
    }

    fn active(switch: &Switch) -> Vec<String> {
        let links = switch.port("bond").bond.expect("a bond").links;
        links.into_iter().filter(|l| l.active).map(|l| l.port).collect()
    }

    /// Frames that tshark sees on an interface between the switches, a field of each.
    fn watch(&self, interface: &str, count: &str, filter: &str, field: &str) -> std::process::Child {
        let mut tshark = self.middle.command(&[
            "tshark",
            "-l",
            "-Q",
            "-i",
            interface,
            "-f",
            filter,
            "-c",
            count,
            "-a",
            "duration:15",
            "-T",
            "fields",
            "-e",
            field,
        ]);
        start(tshark.stdin(Stdio::null()))
    }
}

#[test]
fn a_link_leaves_and_comes_back_while_the_others_go_on() {
    let linked = Linked::new(FAST, "packet");
    linked.all_active();
    let mut one = linked.left.config();
    let bond = one.ports.get_mut("bond").expect("a bond");
    let switch::config::DeviceConfig::Bond(bond) = &mut bond.device else { panic!("{bond:?}") };
    bond.links.retain(|l| l == "l1");
    let both = linked.left.config();
    let mut ping = linked.a.command(&["ping", "-n", "-O", "-i", "0.01", "-c", "400", "-W", "1", "10.1.0.2"]);
    let ping = start(&mut ping);
    std::thread::sleep(Duration::from_millis(500));
    linked.left.apply_config(&one);
    // The other side is told: it need not wait three seconds for a time-out.
    let told = Instant::now();
    eventually("the partner has left the link", || Linked::active(&linked.right) == ["r1"]);
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    std::thread::sleep(Duration::from_millis(500));
    linked.left.apply_config(&both);
    let out = e2e::finish(ping).out;
    assert!(longest_gap(&out) < 10, "{out}");
    linked.all_active();
}

#[test]
fn each_link_speaks_with_its_own_address_and_a_restart_changes_no_system() {
    let mut linked = Linked::new(FAST, "packet");
    linked.all_active();
    let seen = linked.watch("r1", "4", "ether proto 0x8809", "eth.src");
    let text = linked.middle.command(&["ip", "-j", "link", "show", "l1"]);
    let link: serde_json::Value = serde_json::from_str(&run(&mut { text }).out).expect("JSON");
    let own = link[0]["address"].as_str().expect("an address").to_owned();
    let out = e2e::finish(seen).out;
    assert!(out.lines().any(|l| l == own), "{own} is not among {out}");
    let before = Linked::lacp(&linked.left, "l1").actor;
    let config = linked.left.command(&["config"]).out;
    linked.left.kill();
    linked.left.start(&config);
    linked.all_active();
    let after = Linked::lacp(&linked.left, "l1").actor;
    assert_eq!((before.system, before.port, before.key), (after.system, after.port, after.key));
    assert_ne!(after.system, Linked::lacp(&linked.right, "r1").actor.system);
}

#[test]
fn a_link_that_takes_over_makes_itself_known() {
    let linked = Linked::new("mode = \"active-backup\"", "packet");
    assert!(linked.a.pings("10.1.0.2", 3));
    let text = linked.a.command(&["ip", "-j", "link", "show", "ta"]);
    let link: serde_json::Value = serde_json::from_str(&run(&mut { text }).out).expect("JSON");
    let station = link[0]["address"].as_str().expect("an address").to_owned();
    let seen = linked.watch("r2", "2", "ether proto 0x8035", "eth.src");
    std::thread::sleep(Duration::from_secs(2));
    linked.middle.ip(&["link", "set", "l1", "down"]);
    let out = e2e::finish(seen).out;
    assert!(out.lines().any(|l| l == station), "{station} is not among {out}");
}

#[test]
fn a_link_is_left_at_once_while_other_interfaces_flap() {
    let linked = Linked::new("mode = \"balance-xor\"", "packet");
    assert!(linked.a.pings("10.1.0.2", 3));
    // Each flap makes the kernel hold back what it tells of other links, for up to a second.
    linked.middle.ip(&["link", "add", "f1", "type", "veth", "peer", "name", "f2"]);
    linked.middle.ip(&["link", "set", "f1", "up"]);
    let flapping =
        "for i in $(seq 40); do ip link set f2 up; sleep 0.05; ip link set f2 down; sleep 0.05; done";
    let flapping = start(&mut linked.middle.command(&["sh", "-c", flapping]));
    let lost = linked.lost_in_a_row_when_cut("l1");
    e2e::finish(flapping);
    assert!(lost < 10, "{lost}");
}

#[test]
fn without_a_partner_a_bond_falls_back_if_it_may_and_too_few_links_are_none() {
    let linked = Linked::new("mode = \"802.3ad\", lacp-fallback = true", "packet");
    linked.all_active();
    // The other side becomes one that speaks no LACP.
    let mut silent = linked.right.config();
    let bond = silent.ports.get_mut("bond").expect("a bond");
    bond.device = switch::config::DeviceConfig::Bond(switch::config::BondConfig::new(
        vec!["r1".to_owned(), "r2".to_owned()],
        switch::config::BondMode::ActiveBackup,
    ));
    linked.right.apply_config(&silent);
    for link in ["r1", "r2"] {
        linked.middle.ip(&["link", "set", link, "down"]);
        linked.middle.ip(&["link", "set", link, "up"]);
    }
    eventually("one link carries packets", || Linked::active(&linked.left) == ["l1"]);
    eventually("they reach each other", || linked.a.pings("10.1.0.2", 1));
    let mut both = linked.left.config();
    let bond = both.ports.get_mut("bond").expect("a bond");
    bond.device = switch::config::DeviceConfig::Bond(switch::config::BondConfig {
        min_links: 2,
        ..switch::config::BondConfig::new(
            vec!["l1".to_owned(), "l2".to_owned()],
            switch::config::BondMode::BalanceXor,
        )
    });
    linked.left.apply_config(&both);
    eventually("both links carry packets", || Linked::active(&linked.left).len() == 2);
    linked.middle.ip(&["link", "set", "l2", "down"]);
    eventually("one is too few", || Linked::active(&linked.left).is_empty() && !linked.left.port("bond").up);
}
