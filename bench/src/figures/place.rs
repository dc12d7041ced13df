//! Which CPU does what, and what kind of host this is.

use super::data::Host;
use super::host::{Error, run};
use std::path::Path;
use std::process::Command;

/// A CPU for each of those who work at the same time, as far as there are so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Of the load.
    pub client: usize,
    /// Of the native server, or of the guest.
    pub server: usize,
    /// Of the switch, or of the monitor's thread that moves packets.
    pub switch: usize,
}

impl Places {
    /// On these CPUs, at least one.
    fn on(cpus: &[usize]) -> Self {
        let at = |place: usize| cpus[place.min(cpus.len() - 1)];
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
    pub fn place(self, pid: u64, runs_guest: impl Fn(&str) -> bool) -> Result<(), Error> {
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
fn allowed() -> Vec<usize> {
    let status = file("/proc/self/status");
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

fn file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Whether the processor runs guests' kernels by itself.
pub fn hardware_virtualisation() -> Option<&'static str> {
    let info = file("/proc/cpuinfo");
    let flags = info.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    if has("vmx") {
        Some("VT-x")
    } else if has("svm") {
        Some("SVM")
    } else {
        None
    }
}

/// This host.
pub fn describe() -> Host {
    let info = file("/proc/cpuinfo");
    let model = info.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split_once(": "));
    let memory = file("/proc/meminfo");
    let kib = memory.lines().next().and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
    let virtualisation = match hardware_virtualisation() {
        Some(name) => name,
        None if Path::new("/dev/kvm").exists() => "KVM without VT-x and SVM (nested PVM)",
        None => "none",
    };
    Host {
        processor: model.map_or("unknown", |(_, name)| name).to_owned(),
        cpus: allowed().len(),
        memory_mib: kib.unwrap_or(0) / 1024,
        kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
        virtualisation: virtualisation.to_owned(),
        load: file("/proc/loadavg").split_whitespace().next().and_then(|l| l.parse().ok()).unwrap_or(0.0),
        placement: Places::here().words(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_work_together_share_a_cpu_only_if_there_are_too_few() {
        let places = |list: &str| Places::on(&cpus(list));
        assert_eq!(places("0"), Places { client: 0, server: 0, switch: 0 });
        assert_eq!(places("0-1"), Places { client: 0, server: 1, switch: 0 });
        assert_eq!(places("2,5-7"), Places { client: 2, server: 5, switch: 6 });
    }
}
