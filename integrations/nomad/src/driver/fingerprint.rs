//! How the node is: whether tasks can run here, and what constraints of jobs may ask for.

use super::Settings;
use crate::node::watch::WatchEvent;
use crate::proto::drivers::FingerprintResponse;
use crate::proto::drivers::fingerprint_response::HealthState;
use crate::proto::structs::Attribute;
use crate::proto::structs::attribute::Value;
use std::collections::HashMap;

/// Attributes are `driver.microvisor`, `driver.microvisor.version`, ...
const PREFIX: &str = "driver.microvisor";
/// Memory of the host without which none is to be had for another guest, MiB.
const LEAST_MIB: u64 = 64;

/// Levels of x86-64 (its psABI), and a flag of the kernel's that each adds.
const LEVELS: [(&str, &[&str]); 3] = [
    ("x86-64-v4", &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
    ("x86-64-v3", &["avx2", "bmi1", "bmi2", "fma", "movbe"]),
    ("x86-64-v2", &["sse4_2", "ssse3", "popcnt", "cx16"]),
];

/// The highest level whose instructions the processor has.
fn level(cpuinfo: &str) -> &'static str {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &&str| line.split_whitespace().any(|word| word == *flag);
    LEVELS.iter().find(|(_, flags)| flags.iter().all(has)).map_or("x86-64-v1", |(name, _)| name)
}

fn text(value: impl Into<String>) -> Attribute {
    Attribute { value: Some(Value::StringVal(value.into())), unit: String::new() }
}

fn number(value: u64, unit: &str) -> Attribute {
    Attribute { value: Some(Value::IntVal(i64::try_from(value).unwrap_or(i64::MAX))), unit: unit.into() }
}

fn unhealthy(health: HealthState, why: String) -> FingerprintResponse {
    FingerprintResponse { attributes: HashMap::new(), health: health.into(), health_description: why }
}

/// Looks once. A node that was there before and is away is ill, not unheard of: its tasks go on.
pub async fn check(settings: &Settings, seen: bool) -> FingerprintResponse {
    if !settings.agent.enabled {
        return unhealthy(HealthState::Undetected, "disabled by the agent's configuration".into());
    }
    let (status, networks) = match (settings.node.status().await, settings.node.networks().await) {
        (Ok(status), Ok(networks)) => (status, networks),
        (Err(e), _) | (_, Err(e)) => {
            let health = if seen { HealthState::Unhealthy } else { HealthState::Undetected };
            return unhealthy(health, e.to_string());
        }
    };
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // Networks of allocations come and go.
    let names = networks.iter().map(|n| n.name.as_str()).filter(|name| !name.starts_with("nomad-"));
    let names = names.collect::<Vec<_>>().join(",");
    let attributes = [
        ("", Attribute { value: Some(Value::BoolVal(true)), unit: String::new() }),
        (".version", text(&status.version)),
        (".cpu_level", text(level(&cpuinfo))),
        (".networks", text(names)),
        (".prepared", number(status.prepared_target as u64, "")),
        (".cpus", number(status.host.cpus as u64, "")),
        (".memory", number(status.host.memory_mib, "MiB")),
    ];
    let attributes = attributes.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value)).collect();
    let (health, health_description) = match (status.switch, status.host.available_mib) {
        (None, _) => (HealthState::Unhealthy, "the node has no switch: guests would have no network".into()),
        (_, left) if left < LEAST_MIB => {
            (HealthState::Unhealthy, format!("{left} MiB of the host's memory are left"))
        }
        _ => (HealthState::Healthy, "Healthy".into()),
    };
    FingerprintResponse { attributes, health: health.into(), health_description }
}

/// Waits until it is worth another look.
pub async fn wait(settings: &Settings) {
    let mut news = settings.watch.listen();
    let period = tokio::time::sleep(settings.agent.fingerprint());
    tokio::pin!(period);
    loop {
        tokio::select! {
            () = &mut period => return,
            heard = news.recv() => match heard {
                Ok(WatchEvent::Connected | WatchEvent::Disconnected) => return,
                Ok(WatchEvent::Event(event)) if event.kind.starts_with("network.") => return,
                Ok(WatchEvent::Event(_)) => {}
                Err(_) => return period.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_the_highest_whose_flags_are_all_there() {
        assert_eq!(level("flags\t: sse4_2 ssse3 popcnt cx16 avx2 bmi1"), "x86-64-v2");
        assert_eq!(level("flags\t: sse4_2 ssse3 popcnt cx16 avx2 bmi1 bmi2 fma movbe"), "x86-64-v3");
        assert_eq!(level(""), "x86-64-v1");
    }
}
