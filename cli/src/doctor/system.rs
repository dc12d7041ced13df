//! What the kernel says of itself and of the host, in files below `/proc`, `/sys` and `/dev`.

use super::{Check, State};
use std::fs;
use std::path::Path;

/// The oldest kernel that monitors run on.
const KERNEL: (u32, u32) = (5, 16);
/// Fewer descriptors than this are for fewer than a thousand devices, at seven each.
const DESCRIPTORS: u64 = 8192;
/// Less memory than this is soon used up, KiB.
const MEMORY_KIB: u64 = 512 << 10;

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_default().trim().to_owned()
}

fn kernel(root: &Path) -> Check {
    let release = read(root, "proc/sys/kernel/osrelease");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let state = if version >= KERNEL { State::Ok } else { State::Missing };
    Check::new("kernel", state, format!("Linux {release}"), "install Linux 5.16 or newer")
}

fn tun(root: &Path) -> Check {
    let file = root.join("dev/net/tun");
    match fs::File::options().read(true).write(true).open(&file) {
        Ok(_) => Check::ok("tap", "/dev/net/tun opens"),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            let next = "run as root, or have root make the TAPs: docs/operations.md";
            Check::new("tap", State::Warning, format!("/dev/net/tun: {e}"), next)
        }
        Err(e) => {
            Check::new("tap", State::Warning, format!("/dev/net/tun: {e}"), "load the module: modprobe tun")
        }
    }
}

fn control_groups(root: &Path) -> Check {
    const NAME: &str = "control groups";
    let mounts = read(root, "proc/mounts");
    let mut version_1 = Vec::new();
    let mut version_2 = Vec::new();
    for line in mounts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [_, path, "cgroup2", ..] => {
                let file = Path::new(path.trim_start_matches('/')).join("cgroup.controllers");
                let controllers = read(root, &file.to_string_lossy());
                version_2.extend(controllers.split_whitespace().map(str::to_owned));
            }
            [_, _, "cgroup", options, ..] => version_1.extend(options.split(',').map(str::to_owned)),
            _ => {}
        }
    }
    let has = |version: &[String], name: &str| version.iter().any(|c| c == name);
    let versions = ["cpu", "memory"].map(|name| match (has(&version_2, name), has(&version_1, name)) {
        (true, _) => Some(2),
        (_, true) => Some(1),
        _ => None,
    });
    match versions {
        [Some(cpu), Some(memory)] if cpu == memory => Check::ok(NAME, format!("version {cpu}: cpu, memory")),
        [Some(cpu), Some(memory)] => Check::ok(NAME, format!("cpu by version {cpu}, memory by {memory}")),
        [cpu, memory] => {
            let lacks: Vec<&str> = [("cpu", cpu), ("memory", memory)]
                .iter()
                .filter(|(_, version)| version.is_none())
                .map(|(name, _)| *name)
                .collect();
            let next = "mount cgroup2, and start the kernel with cgroup_enable=memory if it lacks that";
            let found = format!("no controller for {}: flavors limit nothing", lacks.join(", "));
            Check::new(NAME, State::Warning, found, next)
        }
    }
}

fn descriptors(root: &Path) -> Check {
    let limits = read(root, "proc/self/limits");
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"));
    let hard = line.and_then(|rest| rest.split_whitespace().nth(1));
    let number = match hard {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().unwrap_or(0),
        None => 0,
    };
    let state = if number < DESCRIPTORS { State::Warning } else { State::Ok };
    let found = format!("{}, enough for about {} devices", hard.unwrap_or("unknown"), number / 8);
    let next = "raise LimitNOFILE of the service, or `ulimit -Hn`, to 1048576";
    Check::new("descriptors", state, found, next)
}

fn memory(root: &Path) -> Check {
    let meminfo = read(root, "proc/meminfo");
    let kib = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let (all, free) = (kib("MemTotal:"), kib("MemAvailable:"));
    let state = if free < MEMORY_KIB { State::Warning } else { State::Ok };
    let found = format!("{} MiB of {} MiB are available", free >> 10, all >> 10);
    Check::new("memory", state, found, "stop what is not needed, or add memory")
}

/// Guests need none; a switch by DPDK has its memory there.
fn huge_pages(root: &Path) -> Check {
    let folder = "sys/kernel/mm/hugepages/hugepages-2048kB";
    let (all, free) =
        (read(root, &format!("{folder}/nr_hugepages")), read(root, &format!("{folder}/free_hugepages")));
    let found = match all.as_str() {
        "" => "none; only a switch by DPDK needs them".to_owned(),
        "0" => "none reserved; only a switch by DPDK needs them".to_owned(),
        all => format!("{all} of 2 MiB, {free} free; guests use none"),
    };
    Check::ok("huge pages", found)
}

fn clock(root: &Path) -> Check {
    let source = read(root, "sys/devices/system/clocksource/clocksource0/current_clocksource");
    let cpuinfo = read(root, "proc/cpuinfo");
    let flags = cpuinfo.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
    let steady = ["constant_tsc", "nonstop_tsc"].iter().all(|f| flags.split_whitespace().any(|w| w == *f));
    // KVM's own clock is a time stamp counter with a scale.
    let by_counter = ["tsc", "kvm-clock"].contains(&source.as_str());
    match (by_counter, steady) {
        (true, true) => Check::ok("clock", format!("{source}, from a steady time stamp counter")),
        (true, false) => {
            let found = format!("{source}; the processor does not promise a steady time stamp counter");
            Check::new("clock", State::Warning, found, "do not rely on timelines across processors")
        }
        _ => {
            let next = "start the kernel with clocksource=tsc, if the time stamp counter is steady";
            Check::new("clock", State::Warning, format!("{source}: reading the time is slow"), next)
        }
    }
}

/// All of it. `root` is `/`.
pub fn checks(root: &Path) -> Vec<Check> {
    vec![
        kernel(root),
        tun(root),
        control_groups(root),
        descriptors(root),
        memory(root),
        huge_pages(root),
        clock(root),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with these files.
    fn host(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("doctor-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const LIMITS: &str = "Limit      Soft Limit  Hard Limit  Units\nMax open files   1024   524288   files\n";
    const CPU: &str = "processor : 0\nflags\t\t: fpu constant_tsc nonstop_tsc\n";
    const CLOCK: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";

    #[test]
    fn host_that_has_everything_is_ok() {
        let root = host(
            "whole",
            &[
                ("proc/sys/kernel/osrelease", "6.1.0-40-amd64\n"),
                ("dev/net/tun", ""),
                ("proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"),
                ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory\n"),
                ("proc/self/limits", LIMITS),
                ("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n"),
                (CLOCK, "tsc\n"),
                ("proc/cpuinfo", CPU),
            ],
        );
        let checks = checks(&root);
        assert!(checks.iter().all(|c| c.state == State::Ok && c.next.is_none()), "{checks:?}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_a_host_lacks_is_named_with_the_next_step() {
        let root = host(
            "poor",
            &[
                ("proc/sys/kernel/osrelease", "5.10.0-8-amd64\n"),
                ("proc/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"),
                ("proc/self/limits", &LIMITS.replace("524288", "1024")),
                ("proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 65536 kB\n"),
                (CLOCK, "hpet\n"),
            ],
        );
        let states: Vec<_> = checks(&root).into_iter().map(|c| (c.name, c.state, c.next.is_some())).collect();
        fs::remove_dir_all(root).unwrap();
        assert_eq!(
            states,
            [
                ("kernel", State::Missing, true),
                ("tap", State::Warning, true),
                ("control groups", State::Warning, true),
                ("descriptors", State::Warning, true),
                ("memory", State::Warning, true),
                ("huge pages", State::Ok, false),
                ("clock", State::Warning, true),
            ]
        );
    }
}
