//! Figures of latency: by packet size (4, 5), from outside the host (7), and within it (8).

use super::data::{Axis, Bar, Better, Content, Draft, Group, Scale, Series};
use super::load::{nptcp, nptcp_of_guest, ping};
use super::rounds::{Effort, Run};
use super::testbed::process::Error;
use super::testbed::setup::{Path, Poll, Server, Setup, check};
use super::testbed::stock::why_not;
use super::testbed::{Testbed, with_stock};

const NATIVE: Setup = Setup::new("native", Path::Veth { links: 1 });
const BRIDGE: Setup = Setup::new("bridge", Path::Bridge);
const TAP: Setup = Setup::new("tap", Path::Tap);
const SWITCH: Setup = Setup::new("switch", Path::Switch);

const fn polling(of: Setup) -> Setup {
    Setup { key: "switch-polling", poll: Poll::Always, ..of }
}

const fn sleeping(of: Setup) -> Setup {
    Setup { key: "switch-sleeping", poll: Poll::Never, ..of }
}

/// A figure of latency by size.
pub struct Sizes {
    setups: &'static [Setup],
    compared: &'static [&'static str],
}

const HOW: &str = "NPtcp in a namespace sends a message to the netpipe guest, or to NPtcp in a second namespace, and gets it back; half of that time, the best of three series, is one value.";

/// Figure 4.
pub const PLATFORMS: Sizes = Sizes {
    setups: &[NATIVE, SWITCH],
    compared: &[HOW, "Native: over a veth pair. Guest: over a TAP of the switch and vhost-user."],
};

/// Figure 5.
pub const CONFIGURATIONS: Sizes = Sizes {
    setups: &[
        NATIVE,
        BRIDGE,
        TAP,
        SWITCH,
        Setup { key: "switch-point-to-point", point_to_point: true, ..SWITCH },
        polling(SWITCH),
        sleeping(SWITCH),
        Setup { key: "switch-no-offload", offload: false, ..SWITCH },
        Setup { key: "switch-jumbo", mtu: 9000, ..SWITCH },
    ],
    compared: &[
        HOW,
        "Native: a veth pair. Bridge: veth pair, the kernel's bridge, veth pair. Point-to-point: a segment of two ports where nothing is learned. Polling: guest --poll always, switch polling = \"always\"; sleeping: --poll 0 and \"never\"; otherwise adaptive (learned, up to 100 microseconds). Offloads off: offload=off. MTU 1500 unless named.",
    ],
};

const HIGH: u32 = 65_536;

/// Why a stock hypervisor is not beside the others.
pub fn no_peer() -> Vec<String> {
    why_not().into_iter().collect()
}

impl Sizes {
    fn repeats(e: &Effort) -> u32 {
        if e.quick { 150 } else { 500 }
    }

    fn turn_seconds(e: &Effort) -> f64 {
        0.8 + f64::from(Self::repeats(e)) * 0.012
    }

    /// About how many seconds it takes.
    pub fn seconds(&self, e: &Effort) -> f64 {
        Self::turn_seconds(e) * (self.setups.len() * e.rounds) as f64
    }

    /// Measures it.
    pub fn make(&self, run: &mut Run) -> Result<Draft, Error> {
        let server = Server::Netpipe { low: 1, high: HIGH };
        let setups = with_stock(self.setups);
        let mut programs = check(&setups, server, &["NPtcp"])?;
        programs.push("NPtcp");
        let repeats = Self::repeats(&run.effort);
        let series = run.alternate(&setups, Self::turn_seconds(&run.effort.clone()), |setup| {
            let testbed = Testbed::new(setup, server)?;
            let all = nptcp(&testbed, 1, HIGH, repeats)?;
            // Between two powers of two NPtcp measures one size more, which a picture does not need.
            Ok(all.into_iter().filter(|(size, _)| (*size as u64).is_power_of_two()).collect())
        })?;
        let mut compared: Vec<String> = self.compared.iter().map(ToString::to_string).collect();
        compared.push(format!(
            "{repeats} messages in each series; configurations take turns, {} rounds; each is made for its turn and removed after it.",
            run.effort.rounds
        ));
        let x = Axis { label: "message size".into(), unit: "bytes".into(), scale: Scale::Log2, better: None };
        Ok(Draft {
            content: Content::Lines { x, y: micros("one way"), series },
            programs,
            compared,
            missing: no_peer(),
        })
    }
}

fn micros(label: &str) -> Axis {
    Axis { label: label.into(), unit: "µs".into(), scale: Scale::Log10, better: Some(Better::Less) }
}

/// A bar for each line of one point.
fn bars(series: Vec<Series>) -> Vec<Bar> {
    let bar = |s: Series| {
        let Series { key, label, points } = s;
        points.into_iter().next().map(|point| Bar { key, label, stat: point.stat })
    };
    series.into_iter().filter_map(bar).collect()
}

fn how_often(run: &Run) -> String {
    format!(
        "Contestants take turns, {} rounds; each is made for its turn and removed after it. The mark is the median of the rounds, the line from the 10th to the 90th percentile.",
        run.effort.rounds
    )
}

const TAP_OUTSIDE: Setup = Setup::new("tap", Path::TapBehindBridge);
const UPLINK: Setup = Setup::new("switch", Path::Uplink);
const OUTSIDE: [Setup; 6] = [NATIVE, BRIDGE, TAP_OUTSIDE, UPLINK, polling(UPLINK), sleeping(UPLINK)];

fn pings(e: &Effort) -> usize {
    if e.quick { 500 } else { 2000 }
}

/// About how many seconds figure 7 takes.
pub fn outside_seconds(e: &Effort) -> f64 {
    (1.0 + pings(e) as f64 * 0.0011) * (OUTSIDE.len() * e.rounds) as f64
}

/// Figure 7.
pub fn outside(run: &mut Run) -> Result<Draft, Error> {
    let mut programs = check(&OUTSIDE, Server::Ping, &["ping"])?;
    programs.push("ping");
    let count = pings(&run.effort);
    let seconds = outside_seconds(&run.effort) / (OUTSIDE.len() * run.effort.rounds) as f64;
    let series = run.alternate(&OUTSIDE, seconds, |setup| {
        let testbed = Testbed::new(setup, Server::Ping)?;
        ping(&testbed, 50)?;
        Ok(vec![(0.0, ping(&testbed, count)?)])
    })?;
    let compared = vec![
        format!("{count} pings of 56 bytes, one a millisecond, from a namespace that stands for another host; the median is one value. 50 before them are not counted."),
        "The cable is a veth pair. Native: its other end is in the server's namespace. Bridge: the kernel's bridge is between. TAP: the bridge and a TAP of the monitor. Switch: the cable's end is the switch's uplink (AF_PACKET), and the guest has a vhost-user port. A guest answers by Click (ICMPPingResponder), the others by their kernel, which does so on the load's CPU and wakes nobody.".into(),
        "Adaptive: guest and switch look for packets for a while that they learn before they sleep, and a guest expects what comes regularly; polling: always; sleeping: never.".into(),
        how_often(run),
    ];
    let inside = "A stock hypervisor is compared within the host alone (figures 2, 4, 5, 8 and 9).";
    let missing = vec![why_not().unwrap_or_else(|| inside.into())];
    let groups = vec![Group { label: "from outside the host".into(), bars: bars(series) }];
    Ok(Draft { content: Content::Bars { value: micros("round trip"), groups }, programs, compared, missing })
}

const INSIDE: [Setup; 5] = [NATIVE, TAP, SWITCH, polling(SWITCH), sleeping(SWITCH)];
const BETWEEN: [Setup; 3] = [SWITCH, polling(SWITCH), sleeping(SWITCH)];
/// Bytes of figure 8's messages.
const SMALL: u32 = 64;

fn messages(e: &Effort) -> u32 {
    if e.quick { 500 } else { 2000 }
}

/// About how many seconds figure 8 takes.
pub fn inside_seconds(e: &Effort) -> f64 {
    (1.0 + f64::from(messages(e)) * 0.001) * ((INSIDE.len() + BETWEEN.len()) * e.rounds) as f64
}

/// Figure 8.
pub fn inside(run: &mut Run) -> Result<Draft, Error> {
    let server = Server::Netpipe { low: SMALL, high: SMALL };
    let setups = with_stock(&INSIDE);
    let mut programs = check(&setups, server, &["NPtcp"])?;
    programs.push("NPtcp");
    let count = messages(&run.effort);
    let seconds = 1.0 + f64::from(count) * 0.001;
    let there_and_back = |latencies: Vec<(f64, f64)>| {
        latencies.first().map(|(size, one_way)| (*size, one_way * 2.0)).into_iter().collect()
    };
    let to = run.alternate(&setups, seconds, |setup| {
        let testbed = Testbed::new(setup, server)?;
        Ok(there_and_back(nptcp(&testbed, SMALL, SMALL, count)?))
    })?;
    let between = run.alternate(&BETWEEN, seconds, |setup| {
        let testbed = Testbed::new(setup, server)?;
        Ok(there_and_back(nptcp_of_guest(&testbed, setup, SMALL, count)?))
    })?;
    let compared = vec![
        format!("{SMALL} bytes over TCP and back, {count} times: twice what NPtcp, or the netpipe guest, gives as its one-way time, the best of three series."),
        "Between two guests: the sender is on the load's CPU with the switch, so that three work on as many CPUs as the host has for them.".into(),
        "Native: a veth pair between two namespaces. Adaptive: guest and switch look for packets for a while that they learn before they sleep; polling: always; sleeping: never.".into(),
        how_often(run),
    ];
    let groups = vec![
        Group { label: "from the host".into(), bars: bars(to) },
        Group { label: "between two guests".into(), bars: bars(between) },
    ];
    Ok(Draft {
        content: Content::Bars { value: micros("round trip"), groups },
        programs,
        compared,
        missing: no_peer(),
    })
}
