//! What kind of host this is.

use super::cpu_placement::{CpuPlacement, allowed};
use crate::figures::data::Host;
use std::path::Path;

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
        placement: CpuPlacement::here().words(),
    }
}
