//! Linux guests: Debian's stock kernel in `microvisor-linux`, under stock `kvm_amd` in an emulated AMD host; and the
//! refusal where ring 0 of guests is not run by hardware.

use e2e::{program, root, run, take_along, unique};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Modules of the guest, in the order in which they are loaded.
const GUEST_MODULES: &str = "virtio_ring virtio virtio_mmio virtio_console failover net_failover virtio_net virtio_blk \
                             virtio-rng virtio_balloon button evdev";

/// The guest's init: says that it has begun, and runs what the kernel's command line names.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
mount -t devtmpfs dev /dev
devmem 0xfe0f0000 32 1
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
try() { name=$1; shift; "$@" >/tmp/out 2>&1; status=$?; echo "$name $status"; [ $status = 0 ] || cat /tmp/out; }
ready() { devmem 0xfe0f0000 32 2; }
off() { devmem 0xfe0f0004 32 $1; poweroff -f; }
. /$case
"#;

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

#[test]
fn linux_guests_are_refused_where_ring_0_is_not_run_by_hardware() {
    let flags = fs::read_to_string("/proc/cpuinfo").expect("there is one");
    let hardware = flags.split_whitespace().any(|flag| flag == "svm" || flag == "vmx");
    if hardware {
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
}

#[test]
fn a_stock_kernel_boots_restarts_and_stops_under_kvm_amd() {
    let job = std::env::temp_dir().join(unique("linux"));
    let guest = job.join("guest");
    fs::create_dir_all(&guest).expect("new");
    for (file, text) in [("init", INIT), ("main", MAIN), ("button", BUTTON)] {
        fs::write(guest.join(file), text).expect("written");
    }
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(guest.join("init"), executable).expect("ours");
    for tool in ["iperf3", "e2fsck", "debugfs"] {
        take_along(tool, &guest);
    }
    let disk = job.join("disk");
    let made = run(Command::new("mkfs.ext4").arg("-q").arg(&disk).arg("16M"));
    assert_eq!(made.status, 0, "{made:?}");
    fs::copy(program("microvisor-linux"), job.join("microvisor-linux")).expect("copied");
    fs::write(job.join("script"), SCRIPT).expect("written");
    // Longer than any other command: a whole host boots in software, and a guest in it.
    let mut command = Command::new("timeout");
    command.arg("240").arg(root().join("scripts/svm-host")).arg(&job).args(["sh", "script"]);
    command.env("SVM_HOST_GUEST_MODULES", GUEST_MODULES);
    let outcome = e2e::finish_within(e2e::start(&mut command), Duration::from_secs(250));
    let _ = fs::remove_dir_all(&job);
    let lines: Vec<(&str, &str)> = outcome.out.lines().filter_map(|l| l.split_once(' ')).collect();
    let expected = |name: &str| match name {
        "main" => "7",
        "button" => "137",
        "garbage" | "short" | "half" | "small" => "121",
        _ => "0",
    };
    let names = "button garbage short half small main timeline four-processors command-line name-of-no-host clock-of-kvm \
                 no-virtualisation-of-its-own virtio-console by-virtio before-restart after-restart waiting pressed entropy \
                 mtu filled ping iperf-to-guest iperf-from-guest memory-comes-back read-only-disk \
                 file-outlives-restart trim journal clean synced-file";
    for name in names.split_whitespace() {
        let found: Vec<&str> = lines.iter().filter(|line| line.0 == name).map(|line| line.1).collect();
        assert!(!found.is_empty(), "{name} is missing: {}\n{}", outcome.out, outcome.err);
        assert!(found.iter().all(|status| *status == expected(name)), "{name}: {}", outcome.out);
    }
}
