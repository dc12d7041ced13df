//! Instances: what is asked for, and what there is.

use crate::health::{Health, HealthCheck};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switch_control::config::AddressPair;
use switch_control::mac::Mac;
use uuid::Uuid;

/// Where an instance is in its life. [`State::may`] says what follows what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its monitor is being started, or works towards the guest's word that it is ready.
    Starting,
    /// The guest said that it is ready.
    Ready,
    /// Its guest is kept from running.
    Paused,
    /// It was asked to stop.
    Stopping,
    /// It does not run; the first packet for it starts it.
    Waiting,
    /// It does not run, as was asked.
    Stopped,
    /// It does not run, which nobody asked for.
    Failed,
}

impl State {
    /// Whether `next` may follow.
    pub fn may(self, next: State) -> bool {
        use State::{Failed, Paused, Ready, Starting, Stopped, Stopping, Waiting};
        match (self, next) {
            (Stopped | Failed | Waiting, Starting) => true,
            (Starting, Ready) | (Ready, Paused) | (Paused, Ready) => true,
            (Starting | Ready | Paused, Stopping | Failed | Stopped | Waiting) => true,
            // A guest that ends by itself while it is restarted goes through `stopped` or `failed`.
            // From stopping to starting: a reboot.
            (Stopping, Stopped | Waiting | Starting) => true,
            (Stopped, Waiting) | (Waiting, Stopped) => true,
            // A start that is refused before anything is made: its flavor is gone, say.
            (Stopped | Waiting, Failed) => true,
            _ => false,
        }
    }

    /// Whether a monitor belongs to it.
    pub fn runs(self) -> bool {
        matches!(self, State::Starting | State::Ready | State::Paused | State::Stopping)
    }

    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Paused => "paused",
            State::Stopping => "stopping",
            State::Waiting => "waiting",
            State::Stopped => "stopped",
            State::Failed => "failed",
        }
    }
}

/// When an instance that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    #[default]
    Never,
    /// If it failed: a fault, a status that is not 0, a monitor that was killed.
    OnFailure,
    /// Whenever it ended without having been asked to.
    Always,
}

/// What of an instance changes while it runs, as JSON Merge Patch has it (RFC 7396): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InstanceChange {
    /// Labels that it gets; one that is `null` goes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
    /// When it is started again from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
}

impl InstanceChange {
    /// What has to change of one specification so that it becomes another; `None` if that takes more than this can say.
    pub fn between(before: &InstanceSpec, after: &InstanceSpec) -> Option<Self> {
        let rest = InstanceSpec { labels: after.labels.clone(), restart: after.restart, ..before.clone() };
        let gone = before.labels.keys().filter(|name| !after.labels.contains_key(*name));
        let come = after.labels.iter().filter(|(name, value)| before.labels.get(*name) != Some(value));
        let labels = gone
            .map(|name| (name.clone(), None))
            .chain(come.map(|(name, value)| (name.clone(), Some(value.clone()))))
            .collect();
        let restart = (before.restart != after.restart).then_some(after.restart);
        (rest == *after).then_some(Self { labels, restart })
    }

    /// Makes the change.
    pub fn apply(&self, spec: &mut InstanceSpec) {
        for (name, value) in &self.labels {
            match value {
                Some(value) => drop(spec.labels.insert(name.clone(), value.clone())),
                None => drop(spec.labels.remove(name)),
            }
        }
        spec.restart = self.restart.unwrap_or(spec.restart);
    }
}

/// What an instance shall be: an image, its configuration, devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// Name, unique on the node: letters, digits, `-`, `_`, `.`; made up if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name or id of an image; `clickos` if left out.
    #[serde(default = "clickos")]
    pub image: String,
    /// The configuration's text: a Click file for `clickos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Variables of the Click file, or words for the guest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Name of a flavor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    /// Guest memory in MiB; what the flavor says, or else the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Net devices, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceSpec>,
    /// Labels: words of the user's choice.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When it is started again.
    #[serde(default)]
    pub restart: Restart,
    /// Started by the first packet for it, and retired when it is idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemand>,
    /// How the node finds out whether it does its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
}

/// An instance that is there when it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OnDemand {
    /// Seconds without a packet from it after which it is retired.
    #[serde(default = "idle_s")]
    #[cfg_attr(feature = "server", schema(minimum = 1))]
    pub idle_s: u32,
}

fn idle_s() -> u32 {
    60
}

fn clickos() -> String {
    "clickos".into()
}

/// What a net device shall be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceSpec {
    /// Network that it is on.
    pub network: String,
    /// IPv4 address; chosen from the network's subnet if left out and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv4"))]
    pub address: Option<Ipv4Addr>,
    /// Length of the prefix that goes with `address`; what the network's subnet has, or 32, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 32))]
    pub prefix: Option<u8>,
    /// Default gateway that goes with `address`; the network's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv4"))]
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 address; chosen from the network's IPv6 subnet if left out and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv6"))]
    pub address6: Option<Ipv6Addr>,
    /// Length of the prefix that goes with `address6`; what the network's IPv6 subnet has, or 128, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 128))]
    pub prefix6: Option<u8>,
    /// Default gateway that goes with `address6`; the network's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv6"))]
    pub gateway6: Option<Ipv6Addr>,
    /// Link-layer address; made up if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub mac: Option<Mac>,
    /// Whether packets from other addresses than its own are dropped. Routers and bridges want `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_spoofing: Option<bool>,
    /// What it may send from besides its own addresses, while others are dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<AddressPairSchema>, max_items = 64))]
    pub allowed_address_pairs: Vec<AddressPair>,
}

/// As `switch_control::config::AddressPair` is written.
#[cfg(feature = "server")]
#[derive(utoipa::ToSchema)]
#[schema(as = AddressPair)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct AddressPairSchema {
    /// IP addresses: one, or all of a prefix, such as `10.0.0.0/24`.
    address: String,
    /// Link-layer address; the device's own if left out.
    mac: Option<String>,
}

/// An instance as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Instance {
    /// Id: a UUID, in the order of creation.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// What it does now.
    pub state: State,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Exit status of its last run (see the command's own page).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u8>,
    /// Name or id of its image, as it was asked for.
    pub image: String,
    /// Guest memory, MiB.
    pub memory_mib: u64,
    /// Net devices.
    pub devices: Vec<Device>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// When it is started again.
    pub restart: Restart,
    /// Whether it is started by the first packet for it, and when it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemand>,
    /// What its health checks have found, while it runs and if it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How many times the restart policy has started it.
    pub restarts: u32,
    /// Process number of its monitor, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When its monitor was started, nanoseconds since 1970, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_unix_ns: Option<u64>,
    /// When it was created, nanoseconds since 1970.
    pub created_unix_ns: u64,
    /// From the request to ready, nanoseconds, of its last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ns: Option<u64>,
}

/// A net device as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Device {
    /// Name of its network.
    pub network: String,
    /// Name of its port on the switch.
    pub port: String,
    /// Link-layer address.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub mac: Mac,
    /// IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv4"))]
    pub address: Option<Ipv4Addr>,
    /// Length of the IPv4 subnet's prefix, bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// IPv4 address of the default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv4"))]
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv6"))]
    pub address6: Option<Ipv6Addr>,
    /// Length of the IPv6 subnet's prefix, bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix6: Option<u8>,
    /// IPv6 address of the default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv6"))]
    pub gateway6: Option<Ipv6Addr>,
    /// Whether packets from other addresses are dropped.
    pub anti_spoofing: bool,
    /// What it may send from besides its own addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<AddressPairSchema>))]
    pub allowed_address_pairs: Vec<AddressPair>,
}

/// A page of instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Instances {
    /// In the order of creation.
    pub instances: Vec<Instance>,
    /// Id after which the next page begins; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

/// Whether a name may be one: it becomes part of paths and commands.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 63 && name.chars().all(fits)
}

impl Device {
    /// Its addresses: at most one of each family.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.address.map(IpAddr::V4).into_iter().chain(self.address6.map(IpAddr::V6)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_ended_can_only_start_or_wait_for_it() {
        use State::{Failed, Paused, Ready, Starting, Stopped, Stopping, Waiting};
        let all = [Starting, Ready, Paused, Stopping, Waiting, Stopped, Failed];
        let next = |state: State| all.into_iter().filter(|&n| state.may(n)).collect::<Vec<State>>();
        assert_eq!(next(Failed), [Starting]);
        assert_eq!(next(Stopped), [Starting, Waiting, Failed]);
    }

    #[test]
    fn names_that_would_leave_a_folder_are_none() {
        for name in ["", ".", "..", "a/b", "-x", "a b", &"x".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
