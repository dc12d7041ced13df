//! Waiting: poll for a bounded while, then sleep until a source is signalled.
//!
//! Sleeping and waking cost the host two exits and a kick (about 120 µs where that is slowest), so a guest that
//! expects work soon looks for it first. How long it looks adapts: as long as the boot page allows while looking
//! pays, half as long after each time that it did not, down to nothing.

use crate::clock::{self, Instant};
use crate::global::Global;
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

/// How long to poll before the next sleep: adaptive, like `halt_poll_ns` of KVM.
#[derive(Debug)]
struct PollWindow {
    /// The limit from the boot page.
    maximum: Duration,
    /// How long the next poll lasts, from zero to `maximum`.
    current: Duration,
}

impl PollWindow {
    /// Work came while polling.
    fn found_work(&mut self) {
        self.current = self.maximum;
    }

    /// No work came while polling; the sleep after it took `sleep`.
    fn slept(&mut self, sleep: Duration) {
        // A sleep hardly longer than polling may last would have been saved by polling a little longer.
        self.current = if sleep <= self.maximum { self.maximum } else { self.current / 2 };
        if self.current < Duration::from_micros(1) {
            self.current = Duration::ZERO;
        }
    }
}

static POLL_WINDOW: Global<Option<PollWindow>> = Global::new(None);
static SLEPT: Global<Duration> = Global::new(Duration::ZERO);

/// How long the guest has slept so far.
pub fn slept() -> Duration {
    SLEPT.with(|slept| *slept)
}

/// Waits until a source or the control ring has work, or until the deadline. The control ring's work is done by
/// [`control::poll`], which also says whether a stop was requested.
pub fn wait(sources: &mut [&mut dyn Source], deadline: Option<Instant>) {
    control::flush_doorbell();
    let maximum = boot::page().poll_ns;
    let window = POLL_WINDOW.with(|p| {
        let maximum = Duration::from_nanos(maximum.into());
        p.get_or_insert(PollWindow { maximum, current: maximum }).current
    });
    let has_work = |sources: &[&mut dyn Source]| control::has_work() || sources.iter().any(|s| s.has_work());
    let start = clock::now();
    let until = start + window;
    loop {
        if has_work(sources) {
            POLL_WINDOW.with(|p| p.as_mut().map(PollWindow::found_work));
            return;
        }
        let now = clock::now();
        if deadline.is_some_and(|d| d <= now) {
            return;
        }
        if maximum != POLL_ALWAYS && now >= until {
            break;
        }
        core::hint::spin_loop();
    }

    heap::offer_free_memory(control::send_free_ranges);
    sources.iter_mut().for_each(|s| s.arm());
    control::want_wakeup(true);
    // Each `arm` and `wait` ends in a full fence: whoever publishes from here on sees that a wake-up is wanted.
    if !has_work(sources) {
        boot::add_to_counter(COUNTER_YIELDS, 1);
        boot::set_counter(COUNTER_HEAP_USED, heap::used() as u64);
        let asleep = clock::now();
        registers::yield_until(deadline.map(clock::tsc_at));
        let sleep = clock::now().since(asleep);
        SLEPT.with(|slept| *slept += sleep);
        POLL_WINDOW.with(|p| p.as_mut().map(|p| p.slept(sleep)));
    }
    control::want_wakeup(false);
    sources.iter_mut().for_each(|s| s.disarm());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_ends_when_it_does_not_pay_and_returns_when_it_would_have() {
        let maximum = Duration::from_micros(20);
        let mut window = PollWindow { maximum, current: maximum };
        for _ in 0..10 {
            window.slept(Duration::from_secs(1));
        }
        assert_eq!(window.current, Duration::ZERO);
        window.slept(Duration::from_micros(15));
        assert_eq!(window.current, maximum);
        window.slept(Duration::from_secs(1));
        assert!(window.current < maximum);
        window.found_work();
        assert_eq!(window.current, maximum);
    }
}
