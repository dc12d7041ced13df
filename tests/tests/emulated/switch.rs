//! Debian's stock kernel in an emulated machine, its virtio-net on our switch by vhost-user, and its bonding driver.

use e2e::net::Namespace;
use e2e::switch::Switch;
use e2e::{finish_within, root, start, take_along, turns, unique};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use switch::bond::lacp::Mux;
use switch::control::{Client, Event, Request};

const MODULES: &str = "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover \
                       virtio_net tls bonding";

/// What runs there: a line `NAME STATUS` for each.
const SCRIPT: &str = r#"
try() { name=$1; shift; "$@" >out 2>&1; status=$?; echo "$name $status"; [ $status = 0 ] || cat out; }
iperf() { LD_LIBRARY_PATH=/job/lib /job/lib/loader /job/iperf3 "$@"; }
ip link set lo up
for i in 0 1; do
	ip addr add 10.5.$i.2/24 dev eth$i
	ip link set eth$i up
	try ping-$i ping -c 3 -W 3 10.5.$i.1
	try to-host-$i iperf -c 10.5.$i.1 -p 520$i -n 4M
	try from-host-$i iperf -c 10.5.$i.1 -p 520$i -n 4M -R
	ip link set eth$i mtu 9000
	try jumbo-$i ping -c 2 -W 3 -s 8900 10.5.$i.1
	try jumbo-to-host-$i iperf -c 10.5.$i.1 -p 520$i -n 4M
	try jumbo-from-host-$i iperf -c 10.5.$i.1 -p 520$i -n 4M -R
done
bond=/sys/class/net/bond0/bonding
until_so() {
	for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		"$@" && return 0
		sleep 0.5
	done
	cat /proc/net/bonding/bond0
	return 1
}
alone() { [ "$(cat $bond/ad_num_ports)" = 1 ]; }
# Both ends of both links distribute: the driver counts a link before the other end does.
together() { [ "$(grep -c 'port state: 6[13]' /proc/net/bonding/bond0)" = 4 ]; }
ip link set bond0 down
echo 802.3ad >$bond/mode
echo 50 >$bond/miimon
for rate in fast slow; do
	ip link set bond0 down
	echo -eth2 >$bond/slaves 2>/dev/null
	echo -eth3 >$bond/slaves 2>/dev/null
	echo $rate >$bond/lacp_rate
	echo +eth2 >$bond/slaves
	echo +eth3 >$bond/slaves
	ip link set bond0 up
	ip addr add 10.6.0.2/24 dev bond0
	try bond-$rate until_so together
	try bond-ping-$rate ping -c 3 -W 3 10.6.0.1
done
echo fast >$bond/lacp_rate
sleep 2
ip link set eth2 down
try cut until_so alone
try ping-by-one ping -c 5 -W 3 10.6.0.1
ip link set eth2 up
try restored until_so together
try ping-by-both ping -c 3 -W 3 10.6.0.1
"#;

fn config(outside: &Namespace) -> String {
    let netns = &outside.name;
    let mut text = "[segments.a]\n[segments.b]\n[segments.c]\n".to_owned();
    let vhost = |n: u32, rest: &str| {
        format!(
            "[ports.vm{n}]\ndevice = {{ vhost-user = {{ path = \"@/vm{n}.sock\" }} }}\nmtu = 9000\n{rest}\n"
        )
    };
    text += &vhost(0, "segment = \"a\"");
    text += &vhost(1, "segment = \"b\"\noffload = false");
    text += &vhost(2, "");
    text += &vhost(3, "");
    for (tap, segment) in [("ta", "a"), ("tb", "b"), ("tc", "c")] {
        text += &format!(
            "[ports.{tap}]\ndevice = {{ tap = {{ name = \"{tap}\", netns = \"{netns}\" }} }}\n\
             segment = \"{segment}\"\nmtu = 9000\n"
        );
    }
    text += "[ports.bond]\ndevice = { bond = { links = [\"vm2\", \"vm3\"], mode = \"802.3ad\", lacp-rate = \"fast\" } }\n\
             segment = \"c\"\n";
    text
}

/// QEMU's network devices. Without `vectors=0`, QEMU 7.2 crashes where it emulates the processor and a vhost-user device
/// has message-signalled interrupts.
fn devices(switch: &Switch) -> String {
    let mut text =
        "-object memory-backend-memfd,id=m,size=1024M,share=on -machine memory-backend=m".to_owned();
    for n in 0..4 {
        text += &switch.here(&format!(
            " -chardev socket,id=c{n},path=@/vm{n}.sock,reconnect=1 -netdev vhost-user,id=n{n},chardev=c{n} \
             -device virtio-net-pci,netdev=n{n},mac=02:00:00:00:05:0{n},vectors=0,speed=1000,duplex=full"
        ));
    }
    text
}

#[test]
fn a_linux_guest_is_at_home_on_the_switch() {
    let _turn = turns::alone();
    let outside = Namespace::new();
    let switch = Switch::new(&config(&outside));
    let job = std::env::temp_dir().join(unique("linux"));
    fs::create_dir(&job).expect("new");
    fs::write(job.join("script"), SCRIPT).expect("written");
    take_along("iperf3".as_ref(), &job);
    for (tap, address) in [("ta", "10.5.0.1/24"), ("tb", "10.5.1.1/24"), ("tc", "10.6.0.1/24")] {
        outside.ip(&["addr", "add", address, "dev", tap]);
    }
    let servers = ["10.5.0.1", "10.5.1.1"].map(|address| {
        let port = if address == "10.5.0.1" { "5200" } else { "5201" };
        let mut server = outside.command(&["iperf3", "-s", "-B", address, "-p", port]);
        server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("iperf3 is installed")
    });
    let mut events = Client::connect(&switch.control()).expect("it listens");
    events.call(&Request::Events, Duration::from_secs(5)).expect("granted");
    let mut command = Command::new(root().join("scripts/svm-host"));
    command.arg(&job).args(["sh", "script"]);
    command.env("SVM_HOST_MODULES", MODULES).env("SVM_HOST_QEMU", devices(&switch));
    let machine = start(command.stdin(Stdio::null()));
    let watching = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while let Ok(event) = events.event(Some(Duration::from_secs(60))) {
            if let Event::Bond { active, .. } = event {
                seen.push(active.len());
            }
            if seen.ends_with(&[2, 1, 2]) {
                break;
            }
        }
        seen
    });
    // While it runs, both sides' LACP agrees.
    let mut agreed = false;
    for _ in 0..600 {
        let bond = switch.port("bond").bond.expect("a bond");
        agreed |= bond.links.iter().all(|l| {
            let Some(lacp) = &l.lacp else { return false };
            lacp.mux == Mux::Distributing && lacp.partner.has(switch::headers::lacp::state::DISTRIBUTING)
        });
        if agreed || watching.is_finished() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let outcome = finish_within(machine, Duration::from_secs(200));
    for mut server in servers {
        let _ = server.kill();
        let _ = server.wait();
    }
    let _ = fs::remove_dir_all(&job);
    let lines: Vec<(&str, &str)> = outcome.out.lines().filter_map(|l| l.split_once(' ')).collect();
    let done = lines.iter().filter(|(_, status)| *status == "0").count();
    assert_eq!(done, 20, "{}\n{}", outcome.out, outcome.err);
    assert!(agreed, "LACP did not agree");
    let seen = watching.join().expect("no panic");
    assert!(seen.ends_with(&[2, 1, 2]), "{seen:?}");
}
