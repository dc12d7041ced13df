//! Linux guests: Debian's stock kernel in `microvisor-linux`, under stock `kvm_amd` in an emulated AMD host; and the
//! refusal where ring 0 of guests is not run by hardware.

use e2e::bundle::{bundle, has_hardware};
use e2e::emulated::Job;
use e2e::{image, program, root, run, take_along, unique};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The guest that is asked everything.
const MAIN: &str = r#"
try four-processors [ "$(nproc)" = 4 ]
try command-line grep -q 'case=main words=two' /proc/cmdline
try name-of-no-host grep -q 'model name.*MicroVisor virtual processor' /proc/cpuinfo
try clock-of-kvm grep -q kvm-clock /sys/devices/system/clocksource/clocksource0/current_clocksource
try no-virtualisation-of-its-own sh -c '! grep -qw svm /proc/cpuinfo'
try virtio-console sh -c 'echo by-virtio 0 >/dev/hvc0'
try entropy sh -c 'grep -q virtio_rng /sys/class/misc/hw_random/rng_current && head -c 64 /dev/hwrng | grep -q .'
try mtu [ "$(cat /sys/class/net/eth0/mtu)" = 1400 ]
ip link set lo up
ip addr add 10.8.0.1/24 dev eth0
ip link set eth0 up
LD_LIBRARY_PATH=/lib /lib/loader /iperf3 -s -D
ready
mount -t tmpfs -o size=80m memory /run
dd if=/dev/zero of=/run/fill bs=1M count=64 2>/dev/null
echo filled 0
while ! ping -c 1 -W 1 10.8.0.3 >/dev/null 2>&1; do sleep 0.2; done
rm /run/fill
while ! ping -c 1 -W 1 10.8.0.4 >/dev/null 2>&1; do sleep 0.2; done
off 7
"#;

/// A guest that writes to its disk, restarts once, hears of its power button, and then writes on until it is killed.
const BUTTON: &str = r#"
# The register stays over a restart.
if [ "$(devmem 0xfe0f0004 32)" = 0x00000000 ]; then
	devmem 0xfe0f0004 32 3
	try read-only-disk sh -c '[ "$(head -c 5 /dev/vdb)" = disk2 ] && ! echo 1 >/dev/vdb'
	mount -t ext4 /dev/vda /run
	dd if=/dev/urandom of=/run/random bs=64K count=8 2>/dev/null
	md5sum /run/random >/run/sum
	sync
	echo before-restart 0
	reboot -f
fi
mount -t ext4 -o discard /dev/vda /run
try file-outlives-restart md5sum -c /run/sum
rm /run/random
try trim fstrim /run
echo after-restart 0
grep -q 'Power Button' /sys/class/input/event0/device/name && exec 3</dev/input/event0
ready
echo waiting 0
head -c 24 <&3 >/dev/null
echo pressed 0
for i in $(seq 1000); do
	dd if=/dev/urandom of=/run/file$i bs=1K count=100 conv=fsync 2>/dev/null
	echo synced $i
done
"#;

/// What runs in the emulated host: a line `NAME STATUS` for each check.
const SCRIPT: &str = r#"
# Fewer page faults, which are slow in an emulated host.
echo always >/sys/kernel/mm/transparent_hugepage/shmem_enabled
linux() { exec ./microvisor-linux --kernel vmlinuz --initrd initrd "$@"; }
quick="console=ttyS0 quiet panic=-1 cryptomgr.notests tsc=reliable no_timer_check audit=0 apparmor=0"
echo disk2 >disk2
truncate -s 1M disk2
linux --cpus 4 --net tap=t0,mtu=1400 --cmdline "$quick case=main words=two" --report main.report >main 2>main.errors &
main=$!
linux --disk disk --disk disk2,ro --cmdline "$quick case=button" --report button.report >button 2>button.errors &
button=$!
until_so() { for i in $(seq 300); do "$@" && return 0; sleep 0.1; done; return 1; }
try() { name=$1; shift; "$@" >out 2>&1; status=$?; echo "$name $status"; [ $status = 0 ] || cat out; }
tool() { LD_LIBRARY_PATH=/job/guest/lib /job/guest/lib/loader "$@"; }
dd if=/dev/urandom of=garbage bs=1M count=1 2>/dev/null
./microvisor-linux --kernel garbage; echo "garbage $?"
head -c 100 vmlinuz >short; ./microvisor-linux --kernel short; echo "short $?"
head -c 6000000 vmlinuz >half; ./microvisor-linux --kernel half --memory 32; echo "half $?"
./microvisor-linux --kernel vmlinuz --memory 32; echo "small $?"
ip addr add 10.8.0.2/24 dev t0
ip link set t0 mtu 1400 up
until_so grep -q filled main
shared() { awk '/^RssShmem:/ { print int($2 / 1024) }' /proc/$main/status; }
before=$(shared)
try ping ping -c 3 -W 5 10.8.0.1
listens() { nc -w 2 10.8.0.1 5201 </dev/null >/dev/null 2>&1; }
until_so listens
try iperf-to-guest tool guest/iperf3 -c 10.8.0.1 -n 4M
try iperf-from-guest tool guest/iperf3 -c 10.8.0.1 -n 4M -R
ip addr add 10.8.0.3/24 dev t0
less() { [ $(shared) -le $((before - 40)) ]; }
try memory-comes-back until_so less
echo "memory: $before MiB, then $(shared)"
ip addr add 10.8.0.4/24 dev t0
until_so grep -q waiting button
kill -TERM $button
until_so grep -q 'synced 3' button
kill -KILL $button
wait $button; echo "button $?"
tool guest/e2fsck -p disk >out 2>&1; [ $? -le 1 ]; echo "journal $?"
try clean tool guest/e2fsck -fn disk
tool guest/debugfs -R "stat /file3" disk 2>/dev/null | grep -q 'Size: 102400'; echo "synced-file $?"
wait $main; echo "main $?"
# A guest that is killed leaves a line unfinished.
cat main button; echo
grep -q '"phase":"kernel"' main.report && grep -q '"phase":"init"' main.report; echo "timeline $?"
cat main.errors button.errors
"#;

/// A guest on the switch that serves others: a Linux guest, and a guest in ring 3, whose numbers it asks for.
const SERVER: &str = r#"
ip link set lo up
ip addr add 10.9.0.1/24 dev eth0
ip link set eth0 up
LD_LIBRARY_PATH=/lib /lib/loader /iperf3 -s -D
ready
while :; do sleep 1; done
"#;

/// A guest on the switch that asks them all, restarts, loses the switch and finds the next.
const CLIENT: &str = r#"
ip link set lo up
ip addr add 10.9.0.2/24 dev eth0
ip link set eth0 up
iperf() { LD_LIBRARY_PATH=/lib /lib/loader /iperf3 "$@"; }
until_so() { for i in $(seq 200); do "$@" && return 0; sleep 0.1; done; return 1; }
answers() { ping -c 1 -W 1 10.9.0.1 >/dev/null 2>&1; }
silent() { ! answers; }
round=first
[ "$(devmem 0xfe0f0004 32)" = 0x00000000 ] || round=second
try $round-ping-linux ping -c 3 -W 5 10.9.0.1
try $round-ping-ring-3 ping -c 3 -W 5 10.9.0.3
try $round-to-linux iperf -c 10.9.0.1 -n 2M
try $round-from-linux iperf -c 10.9.0.1 -n 2M -R
if [ $round = first ]; then
	devmem 0xfe0f0004 32 9
	try to-ring-3 iperf -c 10.9.0.3 -n 2M
	try from-ring-3 iperf -c 10.9.0.3 -n 2M -R
	# Without the network's shutdown: the driver is cut off in the middle of its work.
	ping -f 10.9.0.1 >/dev/null 2>&1 &
	echo b >/proc/sysrq-trigger
	sleep 60
fi
ready
echo restarted 0
try switch-is-gone until_so silent
echo switch-is-missed 0
try switch-is-back until_so answers
try again-to-linux iperf -c 10.9.0.1 -n 2M
try again-from-linux iperf -c 10.9.0.1 -n 2M -R
try again-ring-3 ping -c 3 -W 5 10.9.0.3
off 9
"#;

/// What runs in the emulated host of those.
const SWITCH: &str = r#"
echo always >/sys/kernel/mm/transparent_hugepage/shmem_enabled
cat >switch.toml <<END
[segments.blue]
[ports.server]
device = { vhost-user = { path = "/job/server.sock" } }
segment = "blue"
[ports.client]
device = { vhost-user = { path = "/job/client.sock", client = true } }
segment = "blue"
[ports.ring3]
device = { vhost-user = { path = "/job/ring3.sock" } }
segment = "blue"
END
until_so() { for i in $(seq 600); do "$@" && return 0; sleep 0.1; done; return 1; }
switch() { LD_LIBRARY_PATH=/job/lib /job/lib/loader ./microvisor-switch --config switch.toml --control control.sock >>switch.log 2>&1 & }
linux() { exec ./microvisor-linux --kernel vmlinuz --initrd initrd --memory 160 "$@"; }
quick="console=ttyS0 quiet panic=-1 cryptomgr.notests tsc=reliable no_timer_check audit=0 apparmor=0"
switch
switch=$!
linux --net vhost-user=server.sock --cmdline "$quick case=server" >server 2>server.errors &
server=$!
linux --net vhost-user=client.sock,server=on --cmdline "$quick case=client" >client 2>client.errors &
client=$!
./microvisor-vmm --image iperf --memory 32 --net vhost-user=ring3.sock,ipv4=10.9.0.3/24 >ring3 2>&1 &
ring3=$!
until_so grep -q restarted client
kill -KILL $switch
until_so grep -q switch-is-missed client
rm -f server.sock ring3.sock
switch
wait $client; echo "client $?"
threads() { ls /proc/$server/task | wc -l; }
[ "$(threads)" = 3 ]; echo "threads $?"
awk '/^(VmHWM|RssAnon|RssFile):/ { print "memory-of-monitor " $1 " " $2 }' /proc/$server/status
kill -KILL $server $ring3
cat client server; echo
cat client.errors server.errors ring3 switch.log
"#;

#[test]
fn linux_guests_are_refused_where_ring_0_is_not_run_by_hardware() {
    if has_hardware() {
        return;
    }
    for mut command in [Command::new(program("microvisor-linux")), Command::new(program("microvisor"))] {
        if command.get_program().to_string_lossy().ends_with("microvisor") {
            command.arg("run");
        }
        // Before anything is looked at: there is no such kernel.
        let outcome = run(command.args(["--kernel", "/nowhere/vmlinuz"]));
        outcome.ends(124, "Linux guests need hardware virtualisation, VT-x or SVM");
    }
    let outcome = run(Command::new(program("microvisor")).args(["run", "/nowhere/debian.image"]));
    outcome.ends(124, "Linux guests need hardware virtualisation, VT-x or SVM");
}

#[test]
fn inspect_says_what_a_kernel_or_a_bundle_is_and_wants() {
    let folder = std::env::temp_dir().join(unique("inspect"));
    let of = folder.join("debian.image");
    bundle(&of);
    let inspect = |path: &Path| run(Command::new(program("microvisor")).arg("inspect").arg(path));
    let kernel = inspect(&of.join("vmlinuz"));
    assert_eq!(kernel.status, 0, "{kernel:?}");
    for says in ["bzImage 6.1.0-test\n", "17 MiB at least", "needs VT-x or SVM"] {
        assert!(kernel.out.contains(says), "{says}: {}", kernel.out);
    }
    let whole = inspect(&of);
    assert_eq!(whole.status, 0, "{whole:?}");
    for says in ["64 MiB by default, 18 at least", "2 by default", "quiet", "initrd.img", "root.img, 2 MiB"] {
        assert!(whole.out.contains(says), "{says}: {}", whole.out);
    }
    inspect(&of.join("initrd.img")).ends(121, "");
    fs::remove_file(of.join("vmlinuz")).expect("there");
    std::os::unix::fs::symlink("/etc/passwd", of.join("vmlinuz")).expect("made");
    inspect(&of).ends(121, "a bundle has no links");
    let line = ["run", "examples/firewall.click", "--cpus", "2"];
    let outcome = run(Command::new(program("microvisor")).args(line).current_dir(root()));
    outcome.ends(122, "--cpus is for Linux guests");
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn a_stock_kernel_boots_restarts_and_stops_under_kvm_amd() {
    let job = Job::new(&[("main", MAIN), ("button", BUTTON)]);
    for tool in ["iperf3", "e2fsck", "debugfs"] {
        take_along(tool.as_ref(), &job.guest());
    }
    let made = run(Command::new("mkfs.ext4").arg("-q").arg(job.folder().join("disk")).arg("16M"));
    assert_eq!(made.status, 0, "{made:?}");
    let lines = job.run(SCRIPT);
    lines.have("main", "7");
    lines.have("button", "137");
    lines.have("garbage short half small", "121");
    lines.have(
        "timeline four-processors command-line name-of-no-host clock-of-kvm no-virtualisation-of-its-own virtio-console \
         by-virtio before-restart after-restart waiting pressed entropy mtu filled ping iperf-to-guest iperf-from-guest \
         memory-comes-back read-only-disk file-outlives-restart trim journal clean synced-file",
        "0",
    );
}

#[test]
#[ignore = "takes minutes: make test-linux"]
fn both_kinds_of_guests_are_at_home_on_the_switch() {
    let job = Job::new(&[("server", SERVER), ("client", CLIENT)]);
    take_along("iperf3".as_ref(), &job.guest());
    take_along(&program("microvisor-switch"), job.folder());
    job.take("microvisor-vmm");
    fs::copy(image("iperf"), job.folder().join("iperf")).expect("copied");
    let lines = job.run(SWITCH);
    lines.have("client", "9");
    lines.have(
        "first-ping-linux first-ping-ring-3 first-to-linux first-from-linux to-ring-3 from-ring-3 restarted \
         second-ping-linux second-ping-ring-3 second-to-linux second-from-linux switch-is-gone switch-is-back \
         again-to-linux again-from-linux again-ring-3 threads",
        "0",
    );
}
