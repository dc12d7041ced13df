//! Waiting: poll for a bounded while, then sleep until a source is signalled.
//!
//! Sleeping and waking cost the host two exits and a kick (about 120 µs where that is slowest), so a guest that
//! expects work soon looks for it first. How long it looks adapts: as long as the boot page allows while looking
//! pays, half as long after each time that it did not, down to nothing.

use crate::clock::{self, Instant};
use crate::solo::Solo;
use crate::{boot, control, heap, registers};
use abi::boot::{COUNTER_HEAP_USED, COUNTER_YIELDS, POLL_ALWAYS};
use core::time::Duration;

/// Something that a guest waits for.
pub trait Source {
    /// Whether there is something to do now.
    fn has_work(&self) -> bool;
    /// Asks for a wake-up at the next work. The caller looks at [`Source::has_work`] once more before it sleeps.
    fn arm(&mut self);
    /// No wake-ups are needed: the guest is awake and looks by itself.
    fn disarm(&mut self);
}

/// How long to poll before the next sleep.
#[derive(Debug)]
struct Patience {
    most: Duration,
    now: Duration,
}

impl Patience {
    /// Polling was followed by work before it ended.
    fn paid(&mut self) {
        self.now = self.most;
    }

    /// Polling was in vain, and the sleep after it took so long.
    fn slept(&mut self, sleep: Duration) {
        // A sleep hardly longer than polling may last would have been saved by polling a little longer.
        self.now = if sleep <= self.most { self.most } else { self.now / 2 };
        if self.now < Duration::from_micros(1) {
            self.now = Duration::ZERO;
        }
    }
}

static PATIENCE: Solo<Option<Patience>> = Solo::new(None);
static SLEPT: Solo<Duration> = Solo::new(Duration::ZERO);

/// How long the guest has slept so far.
pub fn slept() -> Duration {
    SLEPT.with(|slept| *slept)
}

/// Waits until a source or the control ring has work, or until the deadline. The control ring's work is done by
/// [`control::poll`], which also says whether a stop was requested.
pub fn wait(sources: &mut [&mut dyn Source], deadline: Option<Instant>) {
    control::say();
    let most = boot::page().poll_ns;
    let patience = PATIENCE.with(|p| {
        let most = Duration::from_nanos(most.into());
        p.get_or_insert(Patience { most, now: most }).now
    });
    let has_work = |sources: &[&mut dyn Source]| control::has_work() || sources.iter().any(|s| s.has_work());
    let start = clock::now();
    let until = start + patience;
    loop {
        if has_work(sources) {
            PATIENCE.with(|p| p.as_mut().map(Patience::paid));
            return;
        }
        let now = clock::now();
        if deadline.is_some_and(|d| d <= now) {
            return;
        }
        if most != POLL_ALWAYS && now >= until {
            break;
        }
        core::hint::spin_loop();
    }

    sources.iter_mut().for_each(|s| s.arm());
    control::wait(true);
    // Each `arm` and `wait` ends in a full fence: whoever publishes from here on sees that a wake-up is wanted.
    if !has_work(sources) {
        boot::count(COUNTER_YIELDS, 1);
        boot::set_counter(COUNTER_HEAP_USED, heap::used() as u64);
        let asleep = clock::now();
        registers::yield_until(deadline.map(clock::tsc_at));
        let sleep = clock::now().since(asleep);
        SLEPT.with(|slept| *slept += sleep);
        PATIENCE.with(|p| p.as_mut().map(|p| p.slept(sleep)));
    }
    control::wait(false);
    sources.iter_mut().for_each(|s| s.disarm());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_when_it_does_not_pay_and_returns_when_it_would_have() {
        let most = Duration::from_micros(20);
        let mut patience = Patience { most, now: most };
        for _ in 0..10 {
            patience.slept(Duration::from_secs(1));
        }
        assert_eq!(patience.now, Duration::ZERO);
        patience.slept(Duration::from_micros(15));
        assert_eq!(patience.now, most);
        patience.slept(Duration::from_secs(1));
        assert!(patience.now < most);
        patience.paid();
        assert_eq!(patience.now, most);
    }
}
