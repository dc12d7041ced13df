//! Net devices on TAPs: packets both ways, what is waited for meanwhile, and a TAP that goes away.

use super::watch::{Interest, WatchSet};
use super::{NETS, RECEIVE_KICK, TAP, TRANSMIT_KICK};
use crate::ending::{Ending, Fault};
use crate::eventfd::EventFd;
use crate::net::device::{Progress, TapNet};
use virtqueue::RingError;

/// Passes over a transmit queue after the guest's end: as many as the longest queue takes.
const LAST_PASSES: usize = 8;

/// A net device on a TAP, with its kicks.
pub struct TapPort {
    /// Which of the guest's net devices it is, from 0.
    pub number: usize,
    /// The device.
    pub device: TapNet,
    /// Eventfds that the doorbells of its receive and transmit queue signal.
    pub kicks: [EventFd; 2],
}

/// What came of serving a queue.
pub struct TapOutcome {
    /// The guest wants to be woken.
    pub wake: bool,
    /// The TAP was found to be gone just now: why.
    pub lost: Option<String>,
}

impl TapPort {
    /// Token of one of this device's descriptors. `index` is its place among the devices on TAPs.
    fn token(index: usize, source: u64) -> u64 {
        NETS + 4 * index as u64 + source
    }

    /// Has all that can happen to the device waited for.
    pub fn watch(&self, index: usize, watch: &mut WatchSet) -> std::io::Result<()> {
        watch.set(Self::token(index, TAP), self.device.tap(), Interest::Read)?;
        watch.set(Self::token(index, RECEIVE_KICK), &self.kicks[0], Interest::Read)?;
        watch.set(Self::token(index, TRANSMIT_KICK), &self.kicks[1], Interest::Read)
    }

    /// Serves the queue that `source` is about. Errors: the guest has broken a ring's rules.
    pub fn serve(&mut self, index: usize, source: u64, watch: &mut WatchSet) -> Result<TapOutcome, Ending> {
        let (queue, pass) = match source {
            TRANSMIT_KICK => {
                self.kicks[1].clear();
                (
                    "transmit",
                    if self.device.counters.lost { self.device.discard() } else { self.device.transmit() },
                )
            }
            _ if self.device.counters.lost => return Ok(TapOutcome { wake: false, lost: None }),
            _ => {
                if source == RECEIVE_KICK {
                    self.kicks[0].clear();
                }
                ("receive", self.device.receive())
            }
        };
        let (progress, wake) = pass.map_err(|e| ring_fault(self.number, queue, e))?;
        let tap = Self::token(index, TAP);
        let mut lost = None;
        match progress {
            Progress::More => watch.mark_ready(Self::token(index, source)),
            // The device waits for the guest alone.
            Progress::NoBuffers => watch.remove(tap),
            Progress::Idle if source == TRANSMIT_KICK => {}
            Progress::Idle => {
                // It was waited for before, and can be again.
                let _ = watch.set(tap, self.device.tap(), Interest::Read);
            }
            Progress::Lost(e) => {
                self.device.counters.lost = true;
                watch.remove(tap);
                watch.remove(Self::token(index, RECEIVE_KICK));
                // What the guest transmits is thrown away from now on.
                watch.mark_ready(Self::token(index, TRANSMIT_KICK));
                lost = Some(format!("its TAP is gone: {e}"));
            }
        }
        Ok(TapOutcome { wake, lost })
    }

    /// Sends what an ended guest has left in its transmit queue. A queue that is broken no longer matters.
    pub fn finish(&mut self) {
        for _ in 0..LAST_PASSES {
            if !matches!(self.device.transmit(), Ok((Progress::More, _))) {
                return;
            }
        }
    }
}

fn ring_fault(device: usize, queue: &str, e: RingError) -> Ending {
    let what = format!("net device {device}, {queue} queue: {e}");
    Ending::Fault(Box::new(Fault { what, ..Default::default() }))
}
