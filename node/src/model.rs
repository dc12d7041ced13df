//! What the API speaks of.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where an instance is in its life. [`State::may`] says what follows what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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
    /// It does not run, as was wished.
    Stopped,
    /// It does not run, which nobody wished.
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
            (Stopping, Stopped | Waiting) => true,
            (Stopped, Waiting) | (Waiting, Stopped) => true,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// An instance that is wished for: an image, its configuration, devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
}

/// An instance that is there when it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnDemand {
    /// Seconds without a packet from it after which it is retired.
    #[serde(default = "idle_s")]
    #[schema(minimum = 1)]
    pub idle_s: u32,
}

fn idle_s() -> u32 {
    60
}

fn clickos() -> String {
    "clickos".into()
}

/// A net device that is wished for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceSpec {
    /// Network that it is on.
    pub network: String,
    /// Address; chosen from the network's subnet if left out and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "ipv4")]
    pub address: Option<Ipv4Addr>,
    /// Length of the prefix that goes with the address; what the network's subnet has, or 32, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 32)]
    pub prefix: Option<u8>,
    /// Default gateway that goes with the address; the network's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "ipv4")]
    pub gateway: Option<Ipv4Addr>,
    /// Link-layer address; made up if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mac: Option<switch::headers::Mac>,
    /// Whether packets from other addresses than its own are dropped. Routers and bridges want `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_spoofing: Option<bool>,
}

/// An instance as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Id: a UUID, in the order of creation.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Exit status of its last run (see the command's own page).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u8>,
    /// Image.
    pub image: String,
    /// Guest memory in MiB.
    pub memory_mib: u64,
    /// Net devices.
    pub devices: Vec<Device>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it is started again.
    pub restart: Restart,
    /// Whether it is started by the first packet for it, and when it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemand>,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// Process of the monitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was created, nanoseconds since 1970.
    pub created_unix_ns: u64,
    /// From the request to ready, nanoseconds, of its last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ns: Option<u64>,
}

/// A net device as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Network.
    pub network: String,
    /// Port of the switch.
    pub port: String,
    /// Link-layer address.
    #[schema(value_type = String)]
    pub mac: switch::headers::Mac,
    /// Address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "ipv4")]
    pub address: Option<Ipv4Addr>,
    /// Length of the subnet's prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// Default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "ipv4")]
    pub gateway: Option<Ipv4Addr>,
    /// Whether packets from other addresses are dropped.
    pub anti_spoofing: bool,
}

/// A segment of the switch with what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name, unique on the node.
    pub name: String,
    /// Subnet that instances get addresses from, `10.0.0.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub subnet: Option<ipnet::Ipv4Net>,
    /// Default gateway of instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "ipv4")]
    pub gateway: Option<Ipv4Addr>,
    /// The host's own port on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPort>,
    /// An interface of the host that the network goes on behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<Uplink>,
    /// A wire between two ports: nothing is learned, everything passes.
    #[serde(default)]
    pub point_to_point: bool,
    /// Largest packet, bytes.
    #[serde(default = "mtu")]
    pub mtu: u16,
}

fn mtu() -> u16 {
    1500
}

/// A TAP of the host, or of one of its namespaces, on a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostPort {
    /// Name of the TAP.
    pub tap: String,
    /// Namespace: a name under /run/netns or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The host's address on it, with the length of the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<ipnet::Ipv4Net>,
}

/// An interface of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Interfaces; several are a bond.
    pub interfaces: Vec<String>,
    /// Namespace that they are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// How several work together: `active-backup`, `balance-xor`, `broadcast`, `802.3ad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mode: Option<switch::config::BondMode>,
    /// Take the interface's address from the host and give it to the network's instance, with its prefix, gateway and
    /// link-layer address. The host has it back when the network is deleted.
    #[serde(default)]
    pub take_over: bool,
    /// What was taken over, which the node finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// What an interface of the host had, and an instance has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Its address.
    #[schema(value_type = String, format = "ipv4")]
    pub address: Ipv4Addr,
    /// Its link-layer address.
    #[schema(value_type = String)]
    pub mac: switch::headers::Mac,
}

/// A size by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flavor {
    /// Name, unique on the node.
    pub name: String,
    /// Guest memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Share of the processors while they are contended, 2 to 262144; 1024 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// Most megabits a second that each device may send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_mbit: Option<f64>,
    /// Most megabits a second that each device gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_mbit: Option<f64>,
    /// Entries of each queue, a power of two from 8 to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Microseconds that an idle guest polls before it sleeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_us: Option<u32>,
    /// Whether its instances take prepared monitors; `false` leaves these to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<bool>,
}

/// A guest image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Name.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub id: String,
    /// Its bytes.
    pub size: u64,
    /// Whether it comes with MicroVisor.
    pub built_in: bool,
    /// Memory that it gets unless told otherwise, MiB.
    pub memory_mib: u64,
    /// What its configuration is written in; empty if it takes none.
    pub config_format: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Number, growing.
    pub seq: u64,
    /// When, nanoseconds since 1970.
    pub at_unix_ns: u64,
    /// What: `instance.ready`, `network.created`, ...
    pub kind: String,
    /// To whom: a name.
    pub subject: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// An instantiation, from the request to the first packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// The instance.
    pub instance: Uuid,
    /// Its name then.
    pub name: String,
    /// The request that it answers.
    pub request: String,
    /// When the request arrived, nanoseconds since 1970.
    pub begun_unix_ns: u64,
    /// The phases.
    #[schema(value_type = Object)]
    pub timeline: machine::timeline::Timeline,
    /// Phases of others that took part: an orchestrator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<External>,
}

/// A phase outside the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Who says so: `nova`, `nomad`.
    #[schema(min_length = 1, max_length = 64)]
    pub source: String,
    /// The phase's name there.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// When it began, nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// When it ended.
    pub end_unix_ns: u64,
}

/// How the node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Process.
    pub pid: u32,
    /// When it was started, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// Instances by state.
    pub instances: BTreeMap<String, usize>,
    /// Process of the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<u32>,
    /// How often the switch was started again.
    pub switch_restarts: u32,
    /// Prepared monitors that are ready.
    pub shells: usize,
    /// Prepared monitors that are kept.
    pub shells_kept: usize,
    /// What it runs on.
    pub host: Host,
}

/// The host of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    /// Processors.
    pub cpus: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Memory that could be had, MiB.
    pub available_mib: u64,
    /// Seconds since it was started.
    pub uptime_s: u64,
}

/// Whether a name may be one: it becomes part of paths and commands.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 63 && name.chars().all(fits)
}

impl Device {
    /// Its addresses, for the switch.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.address.into_iter().map(IpAddr::V4).collect()
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
        assert_eq!(next(Stopped), [Starting, Waiting]);
    }

    #[test]
    fn names_that_would_leave_a_folder_are_none() {
        for name in ["", ".", "..", "a/b", "-x", "a b", &"x".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
