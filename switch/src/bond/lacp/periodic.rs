//! The periodic transmission machine (6.4.13).

use super::{FAST_PERIODIC, Link, Millis, Periodic, SLOW_PERIODIC};
use crate::headers::lacp::state;

impl Link {
    pub(super) fn step_periodic(&mut self, now: Millis) {
        let someone_speaks = self.actor.has(state::ACTIVITY) || self.partner.has(state::ACTIVITY);
        let wanted = if !self.up || !someone_speaks {
            Periodic::NoPeriodic
        } else if self.partner.has(state::SHORT_TIMEOUT) {
            Periodic::FastPeriodic
        } else {
            Periodic::SlowPeriodic
        };
        let due = self.periodic_at.is_some_and(|at| now >= at);
        // Going from slow to fast speaks at once; from fast to slow only waits longer.
        if due || (self.periodic == Periodic::SlowPeriodic && wanted == Periodic::FastPeriodic) {
            self.need_to_transmit = true;
        }
        if due || wanted != self.periodic {
            self.periodic_at = match wanted {
                Periodic::NoPeriodic => None,
                Periodic::FastPeriodic => Some(now + FAST_PERIODIC),
                Periodic::SlowPeriodic => Some(now + SLOW_PERIODIC),
            };
        }
        self.periodic = wanted;
    }
}
