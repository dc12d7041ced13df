//! What the node runs on, as the kernel says (proc(5): meminfo, uptime).

use api::status::Host;
use std::sync::LazyLock;

/// The host, now.
pub fn host() -> Host {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory = file("/proc/meminfo");
    Host {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_mib: mib(&memory, "MemTotal:"),
        available_mib: mib(&memory, "MemAvailable:"),
        uptime_s: file("/proc/uptime").split('.').next().and_then(|s| s.parse().ok()).unwrap_or(0),
    }
}

/// Ticks of a second in the kernel's interface, whatever its own clock.
const TICKS: u64 = 100;

/// Time that all processors have worked since the boot, together, nanoseconds (proc(5): stat).
pub fn busy_ns() -> u64 {
    busy(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// The first line has user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
fn busy(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or("");
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|n| n.parse().ok()).collect();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (ticks.iter().sum::<u64>() - idle) * (1_000_000_000 / TICKS)
}

/// A line of meminfo, which counts in KiB.
fn mib(meminfo: &str, name: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) / 1024
}

/// Which boot of the host this is: process numbers and start times of another one mean nothing (random(4)).
pub fn boot() -> String {
    static BOOT: LazyLock<String> = LazyLock::new(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim().to_owned()
    });
    BOOT.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_processors_and_memory() {
        let host = host();
        assert!(host.cpus > 0 && host.memory_mib > 0 && host.available_mib <= host.memory_mib);
    }

    #[test]
    fn a_processor_that_waits_is_not_busy() {
        assert_eq!(busy("cpu  10 0 20 400 50 1 2 7 5 0\ncpu0 1 1 1 1 1\n"), 400_000_000);
        assert_eq!(busy(""), 0);
    }

    #[test]
    fn lines_of_meminfo() {
        let text = "MemTotal:       24576 kB\nMemFree:  1 kB\n";
        assert_eq!((mib(text, "MemTotal:"), mib(text, "MemAvailable:")), (24, 0));
    }
}
