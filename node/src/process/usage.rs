//! What a monitor uses, its guest in it (proc(5)).

use serde::Serialize;

/// Ticks of a second in the kernel's interface, whatever its own clock.
const TICKS: u64 = 100;

/// Of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Processor time for itself and its guest, nanoseconds.
    pub user_ns: u64,
    /// Processor time in the kernel, nanoseconds.
    pub system_ns: u64,
    /// Memory that is there, guest memory among it, bytes.
    pub resident: u64,
    /// The most that was.
    pub peak: u64,
}

/// What a process uses; nothing, if it is gone.
pub fn of(pid: u32) -> Usage {
    let read = |name| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    parsed(&read("stat"), &read("status"))
}

fn parsed(stat: &str, status: &str) -> Usage {
    // The command's name may have spaces and parentheses; after it come the fields from the third on.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    // Guest time is user time.
    let ns = |field| ticks(field) * (1_000_000_000 / TICKS);
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Usage { user_ns: ns(14), system_ns: ns(15), resident: kib("VmRSS") << 10, peak: kib("VmHWM") << 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 1 0 0 0 25 50 0 0 20 0 2 0 100";
        let usage = parsed(stat, "VmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n");
        assert_eq!((usage.user_ns, usage.system_ns), (250_000_000, 500_000_000));
        assert_eq!((usage.resident, usage.peak), (1 << 20, 2 << 20));
        assert_eq!(parsed("", ""), Usage::default());
    }
}
