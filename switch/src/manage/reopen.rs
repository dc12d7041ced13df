//! Interfaces that have failed, since somebody deleted them: they are opened again, at growing intervals, until they are
//! back.

use super::devices::{self, Opened};
use super::{Switch, carrier::interface};
use crate::control::Event;
use crate::worker::Command;
use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// When a port's device is opened again.
#[derive(Debug, Default)]
pub struct Reopening {
    /// The next attempt; none while the device works.
    next: Option<Instant>,
    /// Time until that attempt, which the one after it takes twice; zero before the first failure.
    wait: Duration,
    /// When the device was last opened.
    opened: Option<Instant>,
}

impl Reopening {
    /// The next attempt, if the device has failed.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The device has failed, or could not be opened. One that worked for long is opened again soon.
    pub fn schedule(&mut self, now: Instant) {
        if self.opened.take().is_some_and(|at| now - at > LONGEST_WAIT * 2) {
            self.wait = Duration::ZERO;
        }
        self.wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        self.next = Some(now + self.wait);
    }

    fn succeeded(&mut self, now: Instant) {
        (self.next, self.opened) = (None, Some(now));
    }
}

impl Switch {
    /// Opens what is due.
    pub(super) fn reopen_devices(&mut self) {
        let now = Instant::now();
        let mut restored = Vec::new();
        for name in &self.waiting {
            let Some(record) = self.ports.get_mut(name) else { continue };
            if record.reopening.next().is_none_or(|at| at > now) || interface(&record.config.device).is_none()
            {
                continue;
            }
            let notifying = self.threads.notifying(record.thread);
            match devices::open(name, &record.config, record.id, notifying) {
                Ok(Opened { device: Some(device), interface, .. }) => {
                    record.interface = interface;
                    record.reopening.succeeded(now);
                    record.last_error = None;
                    self.threads.tell(record.thread, Command::Replace(record.id, device));
                    restored.push(name.clone());
                }
                Ok(_) => {}
                Err(e) => {
                    record.last_error = Some(e.to_string());
                    record.reopening.schedule(now);
                }
            }
        }
        if !restored.is_empty()
            && let Err(e) = self.follow_interfaces()
        {
            eprintln!("microvisor-switch: {e}");
        }
        for port in restored {
            eprintln!("microvisor-switch: port {port}: its device is back");
            self.server.publish(&Event::Restored { port });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_fails_at_once_is_opened_ever_more_seldom() {
        let (mut r, mut now) = (Reopening::default(), Instant::now());
        let mut attempts = 0;
        let end = now + Duration::from_secs(60);
        while now < end {
            r.schedule(now);
            now = r.next().unwrap();
            r.succeeded(now);
            attempts += 1;
        }
        assert!((15..25).contains(&attempts), "{attempts}");
        // After it has worked for a while it is opened at once again.
        now += Duration::from_secs(60);
        r.schedule(now);
        assert_eq!(r.next(), Some(now + FIRST_WAIT));
    }
}
