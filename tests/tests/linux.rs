//! Linux guests: Debian's stock kernel in `microvisor-linux`, under stock `kvm_amd` in an emulated AMD host; and the
//! refusal where ring 0 of guests is not run by hardware.

use e2e::{program, root, run, unique};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Modules of the guest, in the order in which they are loaded.
const GUEST_MODULES: &str = "virtio_ring virtio virtio_mmio virtio_console button evdev";

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
ready
off 7
"#;

/// A guest that restarts once, and stops when its power button is pressed.
const BUTTON: &str = r#"
# The register stays over a restart.
if [ "$(devmem 0xfe0f0004 32)" = 0x00000000 ]; then
	devmem 0xfe0f0004 32 3
	echo before-restart 0
	reboot -f
fi
echo after-restart 0
grep -q 'Power Button' /sys/class/input/event0/device/name && exec 3</dev/input/event0
ready
echo waiting 0
head -c 24 <&3 >/dev/null
echo pressed 0
poweroff -f
"#;

/// What runs in the emulated host: a line `NAME STATUS` for each check.
const SCRIPT: &str = r#"
# Fewer page faults, which are slow in an emulated host.
echo always >/sys/kernel/mm/transparent_hugepage/shmem_enabled
linux() { exec ./microvisor-linux --kernel vmlinuz --initrd initrd "$@"; }
quick="console=ttyS0 quiet panic=-1 cryptomgr.notests tsc=reliable no_timer_check audit=0 apparmor=0"
# Each guest boots on a processor of its own.
linux --cpus 4 --cmdline "$quick case=main words=two" --report main.report >main 2>main.errors &
main=$!
linux --cmdline "$quick case=button" --report button.report >button 2>button.errors &
button=$!
for i in $(seq 600); do grep -q waiting button && break; sleep 0.1; done
kill -TERM $button
wait $button; echo "button $?"
dd if=/dev/urandom of=garbage bs=1M count=1 2>/dev/null
./microvisor-linux --kernel garbage; echo "garbage $?"
head -c 100 vmlinuz >short; ./microvisor-linux --kernel short; echo "short $?"
head -c 6000000 vmlinuz >half; ./microvisor-linux --kernel half --memory 32; echo "half $?"
./microvisor-linux --kernel vmlinuz --memory 32; echo "small $?"
wait $main; echo "main $?"
cat main button
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
    fs::copy(program("microvisor-linux"), job.join("microvisor-linux")).expect("copied");
    fs::write(job.join("script"), SCRIPT).expect("written");
    // Longer than any other command: a whole host boots in software, and a guest in it.
    let mut command = Command::new("timeout");
    command.arg("240").arg(root().join("scripts/svm-host")).arg(&job).args(["sh", "script"]);
    command.env("SVM_HOST_GUEST_MODULES", GUEST_MODULES).env("SVM_HOST_QEMU", "-smp 2");
    let outcome = e2e::finish_within(e2e::start(&mut command), Duration::from_secs(250));
    let _ = fs::remove_dir_all(&job);
    let lines: Vec<(&str, &str)> = outcome.out.lines().filter_map(|l| l.split_once(' ')).collect();
    let expected = |name: &str| match name {
        "main" => "7",
        // Stopped by a signal, and in time: it powered itself off.
        "button" => "143",
        "garbage" | "short" | "half" | "small" => "121",
        _ => "0",
    };
    let names = "button garbage short half small main timeline four-processors command-line name-of-no-host clock-of-kvm \
                 no-virtualisation-of-its-own virtio-console by-virtio before-restart after-restart waiting pressed";
    for name in names.split_whitespace() {
        let found: Vec<&str> = lines.iter().filter(|line| line.0 == name).map(|line| line.1).collect();
        assert!(!found.is_empty(), "{name} is missing: {}\n{}", outcome.out, outcome.err);
        assert!(found.iter().all(|status| *status == expected(name)), "{name}: {}", outcome.out);
    }
}
