//! What a task uses: its monitor's processor time and memory, the guest's among it, as the node counts them.

use super::{Task, now};
use crate::driver::time;
use crate::proto::drivers::cpu_usage::Fields as Cpu;
use crate::proto::drivers::memory_usage::Fields as Memory;
use crate::proto::drivers::{CpuUsage, MemoryUsage, TaskResourceUsage, TaskStats};
use serde::Deserialize;
use std::collections::HashMap;

/// What the node says of a running instance.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// The monitor's process.
    pub pid: u32,
    /// Guest memory, bytes.
    pub memory: u64,
    /// Packets and bytes of each device.
    pub net: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Of the monitor's process, the guest in it.
    pub usage: Usage,
}

/// Of a process.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Processor time for itself and the guest, nanoseconds.
    pub user_ns: u64,
    /// Processor time in the kernel.
    pub system_ns: u64,
    /// Memory that is there, bytes.
    pub resident: u64,
    /// The most that was.
    pub peak: u64,
}

/// The last look, which processor time is counted from.
#[derive(Default)]
pub struct Meter {
    before: Option<(u64, Usage)>,
    /// Megahertz of a processor.
    speed: f64,
}

/// Megahertz of the first processor.
fn speed() -> f64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("cpu MHz"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

impl Meter {
    /// A meter that has not looked yet.
    pub fn new() -> Self {
        Self { before: None, speed: speed() }
    }

    /// Looks; nothing of a task that does not run.
    pub async fn sample(&mut self, task: &Task) -> Option<TaskStats> {
        let inspected = task.node.inspect(task.state.instance).await.ok()?;
        let seen: Sample = serde_json::from_value(inspected).ok()?;
        Some(self.stats(&task.id, now(), &seen))
    }

    fn stats(&mut self, id: &str, at: u64, seen: &Sample) -> TaskStats {
        let (since, before) = self.before.replace((at, seen.usage)).unwrap_or((at, seen.usage));
        let percent = |now: u64, before: u64| match at.saturating_sub(since) {
            0 => 0.0,
            span => now.saturating_sub(before) as f64 / span as f64 * 100.0,
        };
        let user_mode = percent(seen.usage.user_ns, before.user_ns);
        let system_mode = percent(seen.usage.system_ns, before.system_ns);
        let measured = [Cpu::UserMode, Cpu::SystemMode, Cpu::TotalTicks, Cpu::Percent].map(i32::from);
        let cpu = CpuUsage {
            user_mode,
            system_mode,
            percent: user_mode + system_mode,
            total_ticks: (user_mode + system_mode) / 100.0 * self.speed,
            measured_fields: measured.into(),
            ..CpuUsage::default()
        };
        let memory = MemoryUsage {
            rss: seen.usage.resident,
            usage: seen.usage.resident,
            max_usage: seen.usage.peak,
            measured_fields: [Memory::Rss, Memory::Usage, Memory::MaxUsage].map(i32::from).into(),
            ..MemoryUsage::default()
        };
        let usage = TaskResourceUsage { cpu: Some(cpu), memory: Some(memory) };
        TaskStats {
            id: id.into(),
            timestamp: Some(time(at)),
            resource_usage_by_pid: HashMap::from([(seen.pid.to_string(), usage.clone())]),
            agg_resource_usage: Some(usage),
        }
    }
}

/// Packets and bytes, device by device, in words.
pub fn packets(seen: &Sample) -> HashMap<String, String> {
    let mut found = HashMap::from([("guest_memory".into(), seen.memory.to_string())]);
    for (number, device) in seen.net.iter().enumerate() {
        let counted = device.iter().filter(|(_, value)| value.is_u64());
        found.extend(counted.map(|(name, value)| (format!("eth{number}.{name}"), value.to_string())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_of_a_second_is_half_a_processor() {
        let mut meter = Meter { before: None, speed: 2000.0 };
        let seen = |user_ns| Sample { usage: Usage { user_ns, ..Usage::default() }, ..Sample::default() };
        meter.stats("t", 1_000_000_000, &seen(0));
        let stats = meter.stats("t", 2_000_000_000, &seen(500_000_000));
        let cpu = stats.agg_resource_usage.and_then(|u| u.cpu).unwrap();
        assert_eq!((cpu.percent, cpu.total_ticks), (50.0, 1000.0));
    }
}
