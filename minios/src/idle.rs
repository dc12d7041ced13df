//! Waiting: poll for a bounded while, then sleep until a source is signalled.
//!
//! Sleeping and waking cost the host two exits and a kick (about 120 µs where that is slowest), so a guest that
//! expects work soon looks for it first. How long it looks, and whether it wakes ahead of work that comes regularly,
//! is learned ([`crate::polling`]), up to what the boot page allows.

use crate::clock::{self, Instant};
use crate::global::Global;
use crate::polling::Polling;
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

static POLLING: Global<Option<Polling>> = Global::new(None);
static SLEPT: Global<Duration> = Global::new(Duration::ZERO);

/// How long the guest has slept so far.
pub fn slept() -> Duration {
    SLEPT.with(|slept| *slept)
}

fn has_work(sources: &[&mut dyn Source]) -> bool {
    control::has_work() || sources.iter().any(|s| s.has_work())
}

/// How a poll ended, and when.
enum Polled {
    Work(Instant),
    Deadline,
    Nothing,
}

/// Looks for work until then.
fn poll(sources: &[&mut dyn Source], until: Instant, deadline: Option<Instant>) -> Polled {
    loop {
        let work = has_work(sources);
        let now = clock::now();
        if work {
            return Polled::Work(now);
        }
        if deadline.is_some_and(|d| d <= now) {
            return Polled::Deadline;
        }
        if now >= until {
            return Polled::Nothing;
        }
        core::hint::spin_loop();
    }
}

/// Sleeps until a source is signalled, or until the deadline; how long, and until when. `None`: there was work already.
fn sleep(sources: &mut [&mut dyn Source], deadline: Option<Instant>) -> Option<(Duration, Instant)> {
    sources.iter_mut().for_each(|s| s.arm());
    control::want_wakeup(true);
    // Each `arm` and `wait` ends in a full fence: whoever publishes from here on sees that a wake-up is wanted.
    let slept = (!has_work(sources)).then(|| {
        boot::add_to_counter(COUNTER_YIELDS, 1);
        boot::set_counter(COUNTER_HEAP_USED, heap::used() as u64);
        let asleep = clock::now();
        registers::yield_until(deadline.map(clock::tsc_at));
        let now = clock::now();
        let sleep = now.since(asleep);
        SLEPT.with(|slept| *slept += sleep);
        (sleep, now)
    });
    control::want_wakeup(false);
    sources.iter_mut().for_each(|s| s.disarm());
    slept
}

/// Waits until a source or the control ring has work, or until the deadline. The control ring's work is done by
/// [`control::poll`], which also says whether a stop was requested.
pub fn wait(sources: &mut [&mut dyn Source], deadline: Option<Instant>) {
    control::flush_doorbell();
    let maximum = boot::page().poll_ns;
    let learned = |work: &mut dyn FnMut(&mut Polling)| {
        POLLING.with(|p| work(p.get_or_insert_with(|| Polling::new(maximum.into()))));
    };
    let (begun, mut window) = (clock::now(), 0);
    learned(&mut |p| window = p.window());
    let until = if maximum == POLL_ALWAYS { Instant(u64::MAX) } else { Instant(begun.0 + window) };
    match poll(sources, until, deadline) {
        Polled::Work(now) => return learned(&mut |p| p.poll_succeeded(now.0 - begun.0)),
        Polled::Deadline => return,
        Polled::Nothing => {}
    }

    heap::offer_free_memory(control::send_free_ranges);
    let mut expected = None;
    if maximum > 0 {
        learned(&mut |p| expected = p.prediction(clock::now().0));
    }
    if let Some((early, late)) = expected.filter(|(early, _)| deadline.is_none_or(|d| d.0 > *early)) {
        let Some((sleep, now)) = sleep(sources, Some(Instant(early))) else { return };
        if has_work(sources) {
            return learned(&mut |p| p.sleep_ended(window, sleep.as_nanos() as u64, now.0));
        }
        learned(&mut |p| p.woke_early(early, now.0));
        match poll(sources, Instant(late), deadline) {
            Polled::Work(now) => return learned(&mut |p| p.prediction_met(now.0)),
            Polled::Deadline => return,
            Polled::Nothing => learned(&mut Polling::prediction_missed),
        }
    }
    if let Some((sleep, now)) = sleep(sources, deadline)
        && has_work(sources)
    {
        learned(&mut |p| p.sleep_ended(window, sleep.as_nanos() as u64, now.0));
    }
}
