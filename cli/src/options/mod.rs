//! Options of `microvisor run`, as a person types them.

pub mod kernel;
pub mod network;
pub mod tap;
pub mod values;
pub mod vhost_user;

use crate::completion;
use api::health::Check;
use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use kernel::KernelOptions;
use network::{NetworkOption, RestartOption};
use std::path::PathBuf;
use tap::TapOption;
use vhost_user::VhostUserOption;

const EXAMPLES: &str = "\
Examples:
  A firewall on a TAP of the host, in the background:
    microvisor run firewall.click --detach \\
        --tap fw0,address=10.77.0.2/24,guest=10.77.0.1/24
  The same as an instance of the node, on its network `blue`:
    microvisor run firewall.click --network blue
  A Linux kernel with its initial file system, and a bundle of both:
    microvisor run --kernel vmlinuz --initrd initrd.img --cpus 2
    microvisor run debian.image";

/// Options of `microvisor run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunOptions {
    /// Click file, guest image, name of a built-in image, or a Linux guest's bundle, FOLDER.image
    #[arg(required_unless_present = "kernel", conflicts_with = "kernel", add = ArgValueCompleter::new(completion::runnable))]
    pub what: Option<String>,
    #[command(flatten)]
    pub linux: KernelOptions,
    /// Configuration file for the guest
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Add a net device on a TAP: NAME[,KEY=VALUE ...]; may be repeated
    ///
    /// The TAP is created if it does not exist. Keys: netns=NAME, its network namespace; address=A/LEN, the host's
    /// address on it; guest=A/LEN and gateway=A, the guest's address and default gateway; mac=ADDRESS; mtu=BYTES;
    /// queue=ENTRIES; offload=on|off
    #[arg(long, value_name = "TAP")]
    pub tap: Vec<TapOption>,
    /// Add a net device on a switch: vhost-user=SOCKET[,KEY=VALUE ...]; may be repeated
    ///
    /// These devices come after those of --tap. Keys: server=on, listen at the socket and let the switch connect;
    /// wait=SECONDS, how long to wait for it; guest=A/LEN; gateway=A; mac=ADDRESS; mtu=BYTES; queue=ENTRIES;
    /// offload=on|off
    #[arg(long, value_name = "SWITCH")]
    pub net: Vec<VhostUserOption>,
    /// Add a net device on a network of the node, which then runs the instance: NAME[,KEY=VALUE ...]; may be repeated
    ///
    /// Keys: address=A, the guest's address; mac=ADDRESS; anti-spoofing=on|off (turn it off for routers);
    /// allow=ADDRESS[/LENGTH][@MAC], what it may send from besides, again for each
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::networks))]
    pub network: Vec<NetworkOption>,
    /// Size of the instance, by the name of a flavor of the node
    #[arg(long, requires = "network", add = ArgValueCandidates::new(completion::flavors))]
    pub flavor: Option<String>,
    /// Give the instance a label, a word of your choice with a value; may be repeated
    #[arg(long, short, requires = "network", value_name = "NAME=VALUE", value_parser = values::assignment)]
    pub label: Vec<(String, String)>,
    /// When the node restarts the instance: never, on-failure, always
    #[arg(long, requires = "network", value_name = "WHEN")]
    pub restart: Option<RestartOption>,
    /// Have the node check the instance's health: ping, tcp:PORT, or HANDLER OPERATOR VALUE such as "q.length < 900"
    ///
    /// With `--restart`, an instance that is unhealthy is started again.
    #[arg(long, value_name = "CHECK", requires = "network")]
    pub health: Option<Check>,
    /// Seconds from one health check to the next [default: 10]
    #[arg(long, value_name = "SECONDS", requires = "health", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub health_interval: Option<u32>,
    /// Let the first packet start the instance, and stop it after SECONDS without a packet from it
    #[arg(long, value_name = "SECONDS", requires = "network", value_parser = clap::value_parser!(u32).range(1..))]
    pub on_demand: Option<u32>,
    /// Name of the instance [default: made from the file's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Guest memory in MiB [default: what the image asks for]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=vmm::options::MEMORY_MAXIMUM_MIB))]
    pub memory: Option<u64>,
    /// Set a variable of the Click file, or pass a word to the guest; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::assignment)]
    pub set: Vec<(String, String)>,
    /// How long an idle guest polls before it sleeps: microseconds, or `always`
    #[arg(long, value_name = "US", default_value = "100", value_parser = values::poll, conflicts_with = "network")]
    pub poll: String,
    /// Show where the time of the start went
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "bars")]
    pub timeline: Option<TimelineForm>,
    /// Print events as JSON, one object per line, including the guest's console
    #[arg(long)]
    pub json: bool,
    /// Return as soon as the guest is ready, and leave it running
    #[arg(long, short)]
    pub detach: bool,
}

impl RunOptions {
    /// What to run; nothing for a kernel.
    pub fn what(&self) -> &str {
        self.what.as_deref().unwrap_or_default()
    }
}

/// How to show a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimelineForm {
    /// Bars in the terminal
    Bars,
    /// JSON
    Json,
}
