//! The same monitor and guests under hardware virtualisation: Debian's stock `kvm_amd` in an emulated AMD host.

use e2e::{image, program, root, turns, unique};
use std::fs;
use std::process::Command;

/// What runs there: a line `NAME STATUS` for each, after whatever it printed.
const SCRIPT: &str = r#"
try() { name=$1; shift; ./microvisor-vmm "$@" >out 2>&1; echo "$name $?"; }
try hello --image hello
try writes-text --image writes-text
for case in constant boot; do try writes-constants-$case --image writes-constants --set case=$case; done
for case in heap stack data; do try executes-data-$case --image executes-data --set case=$case; done
for case in null monitor tables beyond; do try reads-outside-$case --image reads-outside --set case=$case; done
for case in ud2 divide int3 int80 syscall sysenter in out hlt; do
	try leaves-ring-3-$case --image leaves-ring-3 --set case=$case
done
for case in lidt at-zero call-gate; do try forges-tables-$case --image forges-tables --set case=$case; done
for case in fault push; do try loses-stack-$case --image loses-stack --set case=$case; done
for case in sse misaligned load; do try abuses-registers-$case --image abuses-registers --set case=$case; done
./microvisor-vmm --image clickos --config firewall.click --net tap=t0,ipv4=10.9.0.1/24 >out 2>&1 &
monitor=$!
for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /sys/class/net/t0 ] && break; sleep 0.2; done
ip addr add 10.9.0.2/24 dev t0
ip link set t0 up
ping -c 3 -W 5 10.9.0.1 >ping 2>&1; echo "ping $?"
kill -TERM $monitor
wait $monitor; echo "clickos $?"
ls /sys/class/net | grep -c t0
"#;

#[test]
fn guests_behave_the_same_under_kvm_amd() {
    let job = std::env::temp_dir().join(unique("svm"));
    fs::create_dir(&job).expect("new");
    let guests = [
        "hello",
        "clickos",
        "writes-text",
        "writes-constants",
        "executes-data",
        "reads-outside",
        "leaves-ring-3",
        "forges-tables",
        "loses-stack",
        "abuses-registers",
    ];
    for guest in guests {
        fs::copy(image(guest), job.join(guest)).expect("copied");
    }
    fs::copy(program("microvisor-vmm"), job.join("microvisor-vmm")).expect("copied");
    fs::copy(root().join("examples/firewall.click"), job.join("firewall.click")).expect("copied");
    fs::write(job.join("script"), SCRIPT).expect("written");
    // Longer than any other command: a whole host boots in software.
    let _turn = turns::alone();
    let mut command = Command::new("timeout");
    command.arg("240").arg(root().join("scripts/svm-host")).arg(&job).args(["sh", "script"]);
    let outcome = e2e::finish_within(e2e::start(&mut command), std::time::Duration::from_secs(250));
    let _ = fs::remove_dir_all(&job);
    let lines: Vec<(&str, &str)> = outcome.out.lines().filter_map(|l| l.split_once(' ')).collect();
    assert!(lines.len() > 25, "{outcome:?}");
    for (name, status) in lines {
        let expected = match name {
            "hello" | "ping" => "0",
            "clickos" => "143",
            _ => "120",
        };
        assert_eq!(status, expected, "{name}: {outcome:?}");
    }
    assert!(outcome.out.trim_end().ends_with('0'), "the TAP is still there: {outcome:?}");
}
