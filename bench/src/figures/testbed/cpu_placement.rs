//! Which CPU does what during a measurement.

use super::process::{Error, run};
use std::process::Command;

/// A CPU for each of those who work at the same time, as far as there are so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuPlacement {
    /// Of the load.
    pub client: usize,
    /// Of the native server, or of the guest.
    pub server: usize,
    /// Of the switch, or of the monitor's thread that moves packets.
    pub switch: usize,
}

impl CpuPlacement {
    /// On these CPUs, at least one.
    fn on(cpus: &[usize]) -> Self {
        let at = |n: usize| cpus[n.min(cpus.len() - 1)];
        Self { client: at(0), server: at(1), switch: if cpus.len() > 2 { at(2) } else { at(0) } }
    }

    /// On this host.
    pub fn here() -> Self {
        Self::on(&allowed())
    }

    /// In words.
    pub fn words(self) -> String {
        let Self { client, server, switch } = self;
        let carrier = "the switch, or the monitor's thread that moves packets";
        if switch == client {
            return format!("CPU {client}: the load, and {carrier}; CPU {server}: the server or guest");
        }
        format!("CPU {client}: the load; CPU {server}: the server or guest; CPU {switch}: {carrier}")
    }

    /// Puts the threads of a virtual machine's process where they belong: those that run the guest to the server's CPU,
    /// those that move packets to the switch's.
    pub fn pin(self, pid: u64, runs_guest: impl Fn(&str) -> bool) -> Result<(), Error> {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            // A thread of KVM's own, which may be placed by nobody.
            if name.starts_with("kvm-") {
                continue;
            }
            let cpu = if runs_guest(name.trim()) { self.server } else { self.switch }.to_string();
            run(Command::new("taskset").args(["-p", "-c", &cpu]).arg(task.file_name()))?;
        }
        Ok(())
    }
}

/// CPUs that this process may use.
pub fn allowed() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
    cpus(list.trim())
}

/// `0-2,5`.
fn cpus(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse().unwrap_or(0)..=last.parse().unwrap_or(0)
    };
    list.split(',').flat_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_work_together_share_a_cpu_only_if_there_are_too_few() {
        let placement = |list: &str| CpuPlacement::on(&cpus(list));
        assert_eq!(placement("0"), CpuPlacement { client: 0, server: 0, switch: 0 });
        assert_eq!(placement("0-1"), CpuPlacement { client: 0, server: 1, switch: 0 });
        assert_eq!(placement("2,5-7"), CpuPlacement { client: 2, server: 5, switch: 6 });
    }
}
