//! The receive machine (6.4.12).

use super::{LONG_TIMEOUT, Link, Millis, NO_PARTNER, Receive, SHORT_TIMEOUT, Selection};
use crate::headers::lacp::{Lacpdu, state};

impl Link {
    pub(super) fn enter_receive(&mut self, to: Receive, now: Millis) {
        self.receive = to;
        match to {
            Receive::Initialize => {
                self.selection = Selection::Unselected;
                self.record_default();
                self.actor.set(state::EXPIRED, false);
                self.enter_receive(Receive::PortDisabled, now);
            }
            Receive::PortDisabled => {
                self.partner.set(state::SYNCHRONIZATION, false);
                self.current_while = None;
            }
            Receive::Expired => {
                self.partner.set(state::SYNCHRONIZATION, false);
                self.partner.set(state::SHORT_TIMEOUT, true);
                self.current_while = Some(now + SHORT_TIMEOUT);
                self.actor.set(state::EXPIRED, true);
                self.need_to_transmit = true;
            }
            Receive::Defaulted => {
                self.selection = Selection::Unselected;
                self.record_default();
                self.actor.set(state::EXPIRED, false);
                self.current_while = None;
            }
            Receive::Current => {
                let short = self.actor.has(state::SHORT_TIMEOUT);
                self.current_while = Some(now + if short { SHORT_TIMEOUT } else { LONG_TIMEOUT });
                self.actor.set(state::EXPIRED, false);
            }
        }
    }

    /// Takes what is configured of the partner: nothing.
    fn record_default(&mut self) {
        self.partner = NO_PARTNER;
        self.actor.set(state::DEFAULTED, true);
    }

    /// Carrier and time.
    pub(super) fn step_receive(&mut self, now: Millis) {
        let timed_out = self.current_while.is_some_and(|at| now >= at);
        match self.receive {
            _ if !self.up && self.receive != Receive::PortDisabled => {
                self.enter_receive(Receive::PortDisabled, now);
            }
            Receive::PortDisabled if self.up => self.enter_receive(Receive::Expired, now),
            Receive::Expired if timed_out => self.enter_receive(Receive::Defaulted, now),
            Receive::Current if timed_out => self.enter_receive(Receive::Expired, now),
            _ => {}
        }
    }

    /// A message.
    pub(super) fn record_pdu(&mut self, pdu: &Lacpdu, now: Millis) {
        // A link whose carrier is not known yet has heard something all the same; what is down hears nothing. Our own
        // messages come back from a loop, which is no partner.
        if !self.up || (pdu.actor.system == self.actor.system && pdu.actor.port == self.actor.port) {
            return;
        }
        // update_Selected: another partner than before is selected anew.
        let aggregation = |s: &crate::headers::lacp::Side| s.has(state::AGGREGATION);
        if !pdu.actor.is_same_port(&self.partner) || aggregation(&pdu.actor) != aggregation(&self.partner) {
            self.selection = Selection::Unselected;
        }
        self.update_ntt(pdu);
        self.record(pdu);
        self.enter_receive(Receive::Current, now);
    }

    /// What the partner believes of us is wrong: it is told.
    fn update_ntt(&mut self, pdu: &Lacpdu) {
        const TOLD: u8 = state::ACTIVITY | state::SHORT_TIMEOUT | state::SYNCHRONIZATION | state::AGGREGATION;
        if !pdu.partner.is_same_port(&self.actor) || (pdu.partner.state ^ self.actor.state) & TOLD != 0 {
            self.need_to_transmit = true;
        }
    }

    fn record(&mut self, pdu: &Lacpdu) {
        self.partner = pdu.actor;
        self.actor.set(state::DEFAULTED, false);
        // The partner's synchronization counts if it means us, or if it is an individual link.
        let means_us = pdu.partner.is_same_port(&self.actor)
            && pdu.partner.has(state::AGGREGATION) == self.actor.has(state::AGGREGATION);
        let in_sync = pdu.actor.has(state::SYNCHRONIZATION);
        let active = pdu.actor.has(state::ACTIVITY)
            || (self.actor.has(state::ACTIVITY) && pdu.partner.has(state::ACTIVITY));
        let individual = !pdu.actor.has(state::AGGREGATION);
        let synchronized = in_sync && active && (means_us || individual);
        self.partner.set(state::SYNCHRONIZATION, synchronized);
    }
}
