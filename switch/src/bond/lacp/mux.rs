//! The mux machine (6.4.15), with collecting and distributing controlled independently: packets are taken before they are
//! sent, so that none is lost while the two sides agree.

use super::{AGGREGATE_WAIT, Link, Millis, Mux, Selection};
use crate::headers::lacp::state;

impl Link {
    fn enter_mux(&mut self, to: Mux, now: Millis) {
        self.mux = to;
        self.wait_while = (to == Mux::Waiting).then_some(now + AGGREGATE_WAIT);
        let (sync, collect, distribute) = match to {
            Mux::Detached | Mux::Waiting => (false, false, false),
            Mux::Attached => (true, false, false),
            Mux::Collecting => (true, true, false),
            Mux::Distributing => (true, true, true),
        };
        let before = self.actor.state;
        self.actor.set(state::SYNCHRONIZATION, sync);
        self.actor.set(state::COLLECTING, collect);
        self.actor.set(state::DISTRIBUTING, distribute);
        self.need_to_transmit |= before != self.actor.state;
    }

    pub(super) fn step_mux(&mut self, now: Millis) {
        let partner_in_sync = self.partner.has(state::SYNCHRONIZATION);
        let selected = self.selection == Selection::Selected;
        let next = match self.mux {
            Mux::Detached if self.selection != Selection::Unselected => Mux::Waiting,
            Mux::Waiting if self.selection == Selection::Unselected => Mux::Detached,
            Mux::Waiting if selected && self.wait_while.is_none_or(|at| now >= at) => Mux::Attached,
            Mux::Attached if !selected => Mux::Detached,
            Mux::Attached if partner_in_sync => Mux::Collecting,
            Mux::Collecting | Mux::Distributing if !selected || !partner_in_sync => Mux::Attached,
            Mux::Collecting if self.partner.has(state::COLLECTING) => Mux::Distributing,
            Mux::Distributing if !self.partner.has(state::COLLECTING) => Mux::Collecting,
            same => same,
        };
        if next != self.mux {
            self.enter_mux(next, now);
        }
    }
}
