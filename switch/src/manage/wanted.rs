//! Announced addresses that somebody wants. Each is told of at once, and again while packets may wait for it, since an event
//! may be missed: by a reader whose queue is full, or by one that comes later.

use super::Switch;
use crate::control::Event;
use crate::port::PortId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time between two events for an address that is still wanted.
const REPEAT: Duration = Duration::from_secs(1);

/// Addresses that are wanted, by the name that they were announced under.
#[derive(Debug, Default)]
pub struct WantedAddresses(BTreeMap<String, Times>);

#[derive(Debug)]
struct Times {
    /// When it is told of again.
    next: Instant,
    /// How long the last packet for it waits.
    until: Instant,
}

impl WantedAddresses {
    /// An address is wanted, and packets for it wait for `time`; whether that is news.
    fn add(&mut self, name: &str, time: Duration, now: Instant) -> bool {
        let next = now + REPEAT;
        match self.0.get_mut(name) {
            Some(times) => {
                times.until = now + time;
                false
            }
            None => self.0.insert(name.to_owned(), Times { next, until: now + time }).is_none(),
        }
    }

    /// When something is to be told again.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().map(|times| times.next).min()
    }

    /// What is to be told again now. What nobody waits for any more is forgotten.
    fn due(&mut self, now: Instant) -> Vec<String> {
        self.0.retain(|_, times| times.until > now);
        let due = self.0.iter_mut().filter(|(_, times)| times.next <= now);
        due.map(|(name, times)| {
            times.next = now + REPEAT;
            name.clone()
        })
        .collect()
    }
}

impl Switch {
    /// An announced address is wanted.
    pub(super) fn address_wanted(&mut self, name: &str) {
        // It may have been withdrawn meanwhile.
        let Some(address) = self.tables.announced.get(name) else { return };
        if self.wanted.add(name, Duration::from_nanos(address.time), Instant::now()) {
            self.server.publish(&Event::Wanted { announced: name.to_owned() });
        }
    }

    /// A port is up: addresses of its are no longer wanted.
    pub(super) fn address_served(&mut self, port: PortId) {
        let tables = &self.tables;
        self.wanted.0.retain(|name, _| tables.announced(name).is_none_or(|(_, of)| of != Some(port)));
    }

    /// Tells again of what is still wanted, when it is time.
    pub(super) fn repeat_wanted(&mut self) {
        for announced in self.wanted.due(Instant::now()) {
            self.server.publish(&Event::Wanted { announced });
        }
    }

    /// Tells a new reader of events what is wanted.
    pub(super) fn publish_wanted(&mut self) {
        for announced in self.wanted.0.keys().cloned() {
            self.server.publish(&Event::Wanted { announced });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_told_again_until_nobody_waits() {
        let (mut wanted, now) = (WantedAddresses::default(), Instant::now());
        let waits = REPEAT * 5 / 2;
        assert!(wanted.add("a", waits, now));
        assert!(!wanted.add("a", waits, now));
        assert!(wanted.due(now).is_empty());
        assert_eq!(wanted.due(now + REPEAT), ["a"]);
        assert!(wanted.due(now + REPEAT).is_empty());
        assert_eq!(wanted.due(now + 2 * REPEAT), ["a"]);
        assert!(wanted.due(now + 3 * REPEAT).is_empty());
        assert_eq!(wanted.next(), None);
        assert!(wanted.add("a", waits, now + 3 * REPEAT), "it is news again");
    }
}
