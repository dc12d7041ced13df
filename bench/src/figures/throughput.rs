//! Figures of TCP throughput by the number of streams: 1, 3, 6 and 9.

use super::data::{Axis, Better, Content, Draft, Scale};
use super::load::iperf;
use super::rounds::{Effort, Run};
use super::testbed::process::Error;
use super::testbed::setup::{Path, Poll, Server, Setup, check};
use super::testbed::{Testbed, with_stock};

/// A figure of throughput.
pub struct Throughput {
    setups: &'static [Setup],
    compared: &'static [&'static str],
    /// Whether the stock kernel takes part.
    stock: bool,
    missing: fn() -> Vec<String>,
}

const TAP: Setup = Setup::new("tap", Path::Tap);
const SWITCH: Setup = Setup::new("switch", Path::Switch);
const NATIVE: Setup = Setup::new("native", Path::Veth { links: 1 });

const fn key(key: &'static str, of: Setup) -> Setup {
    Setup { key, ..of }
}

const fn plain(of: Setup) -> Setup {
    Setup { offload: false, ..of }
}

const fn jumbo(of: Setup) -> Setup {
    Setup { mtu: 9000, ..of }
}

const fn poll(poll: Poll, of: Setup) -> Setup {
    Setup { poll, ..of }
}

const fn queue(queue: u32, of: Setup) -> Setup {
    Setup { queue, ..of }
}

/// What each link of figure 1 can carry.
const LINK: Option<&str> = Some("2gbit");

const fn link(of: Setup) -> Setup {
    Setup { rate: LINK, ..of }
}

const HOW: &str = "iperf3 in a namespace sends over TCP to the guest, or to iperf3 in a second namespace; what arrived is counted.";
const DEFAULTS: &str = "Unless named otherwise: checksum and segmentation offloads on (offload=on), MTU 1500, adaptive polling (guest: --poll 100, switch: polling = \"adaptive\"), queues of 256. Polling: --poll always, polling = \"always\". Sleeping: --poll 0, polling = \"never\". Offloads off: offload=off at the guest and at the switch's ports.";

/// Figure 1.
pub const BONDING: Throughput = Throughput {
    setups: &[
        link(NATIVE),
        link(Setup::new("native-multipath", Path::Veth { links: 2 })),
        link(Setup::new("switch", Path::Bond { links: 1 })),
        link(Setup::new("switch-bond", Path::Bond { links: 2 })),
    ],
    compared: &[
        HOW,
        "Links are veth pairs, each end limited to 2 Gbit/s by HTB.",
        "The guest's links lie between two bonds of the switch (balance-xor, hash layer3+4) of one link or of two; the client is behind the first, the guest behind the second.",
        "Two links of native Linux are a route over both (multipath, hash of addresses and ports).",
    ],
    stock: false,
    missing: || vec![bonding()],
};

/// Figure 3.
pub const CONFIGURATIONS: Throughput = Throughput {
    setups: &[
        TAP,
        key("tap-no-offload", plain(TAP)),
        key("tap-jumbo", jumbo(TAP)),
        key("tap-polling", poll(Poll::Always, TAP)),
        key("tap-sleeping", poll(Poll::Never, TAP)),
        SWITCH,
        key("switch-no-offload", plain(SWITCH)),
        key("switch-jumbo", jumbo(SWITCH)),
        key("switch-polling", poll(Poll::Always, SWITCH)),
        key("switch-sleeping", poll(Poll::Never, SWITCH)),
    ],
    compared: &[HOW, DEFAULTS],
    stock: false,
    missing: Vec::new,
};

/// Figure 6.
pub const OPTIONS: Throughput = Throughput {
    setups: &[
        SWITCH,
        key("switch-no-offload", plain(SWITCH)),
        key("switch-jumbo", jumbo(SWITCH)),
        key("switch-polling", poll(Poll::Always, SWITCH)),
        key("switch-sleeping", poll(Poll::Never, SWITCH)),
        key("switch-queue-64", queue(64, SWITCH)),
        key("switch-queue-1024", queue(1024, SWITCH)),
        TAP,
    ],
    compared: &[HOW, "All differ from \"Guest, switch\" in one option.", DEFAULTS],
    stock: false,
    missing: Vec::new,
};

/// Figure 9.
pub const PATHS: Throughput = Throughput {
    setups: &[
        NATIVE,
        Setup::new("bridge", Path::Bridge),
        TAP,
        SWITCH,
        Setup { point_to_point: true, ..key("switch-point-to-point", SWITCH) },
        Setup::new("switch-bond", Path::Bond { links: 2 }),
    ],
    compared: &[
        HOW,
        "Native: a veth pair between two namespaces. Bridge: client, veth pair, the kernel's bridge, veth pair, server. TAP: the monitor moves packets itself. Switch: a TAP of the switch, a learning segment, vhost-user. Point-to-point: the same with a segment of two ports where nothing is learned. Bond: between client and guest the switch sends over a bond of two veth pairs (balance-xor, layer3+4), and takes from another.",
        DEFAULTS,
    ],
    stock: true,
    missing: super::latency::no_peer,
};

/// Whether native Linux can bond here.
fn bonding() -> String {
    let module =
        format!("/lib/modules/{}/kernel/drivers/net/bonding", super::testbed::host::describe().kernel);
    if std::path::Path::new("/sys/class/net/bonding_masters").exists()
        || std::path::Path::new(&module).exists()
    {
        "Linux' own bonding driver is not compared: the multipath route stands for two native links.".into()
    } else {
        "Linux' own bonding driver is not compared: this host's kernel has neither it nor team; a multipath route stands for two native links.".into()
    }
}

impl Throughput {
    fn streams(e: &Effort) -> &'static [usize] {
        if e.quick { &[1, 2, 8, 32] } else { &[1, 2, 4, 8, 16, 32] }
    }

    /// Of each transfer.
    fn transfer(e: &Effort) -> &'static str {
        if e.quick { "1" } else { "2" }
    }

    fn turn_seconds(e: &Effort) -> f64 {
        let transfer: f64 = Self::transfer(e).parse().unwrap_or(1.0);
        1.0 + (transfer + 0.15) * Self::streams(e).len() as f64
    }

    /// About how many seconds it takes.
    pub fn seconds(&self, e: &Effort) -> f64 {
        Self::turn_seconds(e) * (self.setups.len() * e.rounds) as f64
    }

    /// Measures it.
    pub fn make(&self, run: &mut Run) -> Result<Draft, Error> {
        let setups = if self.stock { with_stock(self.setups) } else { self.setups.to_vec() };
        let mut programs = check(&setups, Server::Iperf, &["iperf3"])?;
        programs.push("iperf3");
        let e = run.effort.clone();
        let series = run.alternate(&setups, Self::turn_seconds(&e), |setup| {
            let testbed = Testbed::new(setup, Server::Iperf)?;
            iperf(&testbed, 1, ["-n", "32M"])?;
            let rate = |&n: &usize| Ok((n as f64, iperf(&testbed, n, ["-t", Self::transfer(&e)])?));
            Self::streams(&e).iter().map(rate).collect()
        })?;
        let mut compared: Vec<String> = self.compared.iter().map(ToString::to_string).collect();
        compared.push(format!(
            "Each transfer takes {} s, after one of 32 MB that is not counted; configurations take turns, {} rounds; each is made for its turn and removed after it.",
            Self::transfer(&e), e.rounds
        ));
        let x =
            Axis { label: "parallel streams".into(), unit: String::new(), scale: Scale::Log2, better: None };
        let y = Axis {
            label: "TCP throughput".into(),
            unit: "Gbit/s".into(),
            scale: Scale::Linear,
            better: Some(Better::More),
        };
        Ok(Draft { content: Content::Lines { x, y, series }, programs, compared, missing: (self.missing)() })
    }
}
