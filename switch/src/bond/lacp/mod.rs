//! LACP on one link (IEEE 802.1AX-2020 section 6.4): `receive` (6.4.12) handles messages, `periodic` (6.4.13) decides when to
//! transmit, `mux` (6.4.15) attaches the link to the aggregator step by step. `select` (6.4.14) decides for all links of a bond
//! which are aggregated. Times are milliseconds of a monotonic clock.

mod mux;
mod periodic;
mod receive;
mod select;

pub use select::select;
pub use switch_control::lacp::{LinkSnapshot, Mux, Periodic, Receive, Selection};

use crate::headers::Mac;
use crate::headers::lacp::{Lacpdu, Side, state};

/// Milliseconds.
pub type Millis = u64;

/// Interval between two messages, fast and slow (6.4.4).
const FAST_PERIODIC: Millis = 1000;
const SLOW_PERIODIC: Millis = 30_000;
/// Time without a message after which the partner's information expires.
const SHORT_TIMEOUT: Millis = 3 * FAST_PERIODIC;
const LONG_TIMEOUT: Millis = 3 * SLOW_PERIODIC;
/// Time to wait for further links, so that links that come up together are attached together.
const AGGREGATE_WAIT: Millis = 2000;
/// Most messages in [`FAST_PERIODIC`] (6.4.16).
const BURST: usize = 3;

/// The default partner until one is known. Messages are sent every second, so that a partner is found soon.
const NO_PARTNER: Side = Side {
    system_priority: 0,
    system: Mac::ZERO,
    key: 0,
    port_priority: 0,
    port: 0,
    state: state::SHORT_TIMEOUT,
};

/// A link.
#[derive(Clone, Debug)]
pub struct Link {
    /// This side.
    pub actor: Side,
    /// The other side, as it was last heard.
    pub partner: Side,
    /// The receive machine.
    pub receive: Receive,
    /// The periodic machine.
    pub periodic: Periodic,
    /// The mux machine.
    pub mux: Mux,
    /// Whether the link belongs to the bond's aggregator.
    pub selection: Selection,
    /// Carrier.
    pub up: bool,
    /// Need to transmit: a message must be sent.
    need_to_transmit: bool,
    /// When the partner's information expires.
    current_while: Option<Millis>,
    /// When the next periodic message is sent.
    periodic_at: Option<Millis>,
    /// When the wait for further links ends.
    wait_while: Option<Millis>,
    /// When messages were last sent.
    sent: Vec<Millis>,
}

impl Link {
    /// A link that is down, number `port` of a system. `fast`: the partner must transmit every second.
    pub fn new((system_priority, system): (u16, Mac), key: u16, port: u16, fast: bool) -> Self {
        let timeout = if fast { state::SHORT_TIMEOUT } else { 0 };
        let actor = Side {
            system_priority,
            system,
            key,
            port_priority: 0xff,
            port,
            state: state::ACTIVITY | state::AGGREGATION | timeout,
        };
        let mut link = Self {
            actor,
            partner: NO_PARTNER,
            receive: Receive::Initialize,
            periodic: Periodic::NoPeriodic,
            mux: Mux::Detached,
            selection: Selection::Unselected,
            up: false,
            need_to_transmit: false,
            current_while: None,
            periodic_at: None,
            wait_while: None,
            sent: Vec::new(),
        };
        link.begin();
        link
    }

    fn begin(&mut self) {
        self.enter_receive(Receive::Initialize, 0);
    }

    /// The link came up or went down.
    pub fn carrier(&mut self, up: bool, now: Millis) {
        self.up = up;
        self.step_receive(now);
        self.run_machines(now);
    }

    /// Handles a received message.
    pub fn receive_pdu(&mut self, pdu: &Lacpdu, now: Millis) {
        self.record_pdu(pdu, now);
        self.run_machines(now);
    }

    /// Runs the machines after time has passed or the selection has changed.
    pub fn run_machines(&mut self, now: Millis) {
        self.step_receive(now);
        // Each step may let the other machine move: both come to rest in a few.
        for _ in 0..8 {
            let before = (self.mux, self.periodic);
            self.step_mux(now);
            self.step_periodic(now);
            if before == (self.mux, self.periodic) {
                break;
            }
        }
    }

    /// Sets whether the partner must transmit every second.
    pub fn set_fast(&mut self, fast: bool) {
        if self.actor.has(state::SHORT_TIMEOUT) != fast {
            self.actor.set(state::SHORT_TIMEOUT, fast);
            self.need_to_transmit = true;
        }
    }

    /// The link leaves the bond: the last message to its partner, so that it need not wait for a time-out.
    pub fn leave(&mut self, now: Millis) -> Option<Lacpdu> {
        self.selection = Selection::Unselected;
        self.run_machines(now);
        self.actor.set(state::AGGREGATION, false);
        self.up.then_some(Lacpdu { actor: self.actor, partner: self.partner })
    }

    /// The message to send now, if there is one.
    pub fn transmit(&mut self, now: Millis) -> Option<Lacpdu> {
        if !self.need_to_transmit || !self.up || self.periodic == Periodic::NoPeriodic {
            return None;
        }
        self.sent.retain(|&at| now.saturating_sub(at) < FAST_PERIODIC);
        if self.sent.len() >= BURST {
            return None;
        }
        self.sent.push(now);
        self.need_to_transmit = false;
        Some(Lacpdu { actor: self.actor, partner: self.partner })
    }

    /// The latest time for the next call of [`Link::run_machines`].
    pub fn deadline(&self, now: Millis) -> Option<Millis> {
        let held_back = (self.need_to_transmit && self.up)
            .then(|| self.sent.first().map_or(now, |&at| at + FAST_PERIODIC));
        let deadlines = [self.current_while, self.periodic_at, self.wait_while, held_back];
        deadlines.into_iter().flatten().min()
    }

    /// Whether the partner's information has expired, so that there is no partner.
    pub fn has_no_partner(&self) -> bool {
        self.actor.has(state::DEFAULTED)
    }

    /// Whether packets received on this link are accepted.
    pub fn collects(&self) -> bool {
        self.actor.has(state::COLLECTING)
    }

    /// Whether packets are sent on this link.
    pub fn distributes(&self) -> bool {
        self.actor.has(state::DISTRIBUTING)
    }

    /// The state, for display.
    pub fn show(&self) -> LinkSnapshot {
        LinkSnapshot {
            actor: self.actor,
            partner: self.partner,
            receive: self.receive,
            periodic: self.periodic,
            mux: self.mux,
            selection: self.selection,
        }
    }
}

#[cfg(test)]
mod tests;
