//! Boot marks: the time stamps of monitor and guest. Stamps of the guest are not trusted; they are clamped to the monitor's.

use abi::boot::*;
use machine::memory::{GuestPhys, Outside, Region};
use machine::timeline::{Phase, Span, Timeline, Tsc};
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The monitor's time stamps, and the place of the guest's.
pub struct Marks {
    memory: Arc<Region>,
    guest_page: u64,
    tsc_hz: u64,
    spawn: Timeline,
    entered: Arc<AtomicU64>,
}

impl Marks {
    /// `spawn` are the monitor's phases except `enter`, which ends when `entered` is set.
    pub fn new(memory: Arc<Region>, guest_page: u64, spawn: Timeline, entered: Arc<AtomicU64>) -> Self {
        Self { memory, guest_page, tsc_hz: spawn.tsc_hz, spawn, entered }
    }

    /// Marks of a prepared guest that has just been assigned. `spawn` are the phases since the request.
    pub fn renew(&mut self, spawn: Timeline, now: Tsc) -> Result<(), Outside> {
        // As a guest finds the page that has just been entered.
        self.memory.write(GuestPhys(self.guest_page), &[0; size_of::<GuestPage>()])?;
        self.spawn = spawn;
        self.entered.store(now.0, Ordering::Release);
        Ok(())
    }

    /// The phases in which a guest was prepared.
    pub fn preparation(&self) -> Timeline {
        let mut timeline = self.timeline(false);
        let now = timeline.span(Phase::Prepare, Tsc::now(), Tsc::now()).end_ns;
        if let Some(boot) = timeline.spans.iter_mut().find(|span| span.phase == Phase::Boot) {
            let prepare =
                Span { phase: Phase::Prepare, start_ns: boot.end_ns, end_ns: now, inside: Vec::new() };
            boot.inside.push(prepare);
            boot.end_ns = now;
        }
        timeline
    }

    fn word(&self, offset: usize) -> u64 {
        let address = GuestPhys(self.guest_page + offset as u64);
        self.memory.word64(address).map_or(0, |w| w.load(Ordering::Relaxed))
    }

    fn entered(&self) -> Tsc {
        Tsc(self.entered.load(Ordering::Acquire))
    }

    /// Nanoseconds since entry.
    pub fn up_ns(&self) -> u64 {
        Tsc::now().since(self.entered(), self.tsc_hz)
    }

    /// The guest's counters. They are not trusted.
    pub fn counters(&self) -> Vec<u64> {
        (0..=COUNTER_HEAP_USED).map(|i| self.word(offset_of!(GuestPage, counters) + 8 * i)).collect()
    }

    /// All finished phases. The guest's stamps are clamped to its running time, and put in order.
    pub fn timeline(&self, ready: bool) -> Timeline {
        let mut timeline = self.spawn.clone();
        let (entered, now) = (self.entered(), Tsc::now());
        if entered == Tsc(0) {
            return timeline;
        }
        let last = timeline.spans.iter().flat_map(|s| &s.inside).map(|s| s.end_ns).max().unwrap_or(0);
        let enter = timeline.span(Phase::Enter, entered, entered);
        let of_spawn =
            |s: &&mut Span| s.phase == Phase::Spawn && s.inside.iter().all(|i| i.phase != Phase::Assign);
        if let Some(spawn) = timeline.spans.iter_mut().find(of_spawn) {
            spawn.inside.push(Span { start_ns: last, ..enter.clone() });
            spawn.end_ns = enter.end_ns;
        }
        let mut earlier = entered;
        let mut next = |mark: usize| {
            let stamp = Tsc(self.word(offset_of!(GuestPage, marks) + 8 * mark));
            if stamp == Tsc(0) {
                return None;
            }
            let start = earlier;
            earlier = stamp.max(earlier).min(now);
            Some((start, earlier))
        };
        next(MARK_ENTRY);
        let inside = [
            (Phase::Runtime, next(MARK_RUNTIME)),
            (Phase::Devices, next(MARK_DEVICES)),
            (Phase::Configure, next(MARK_CONFIGURE)),
        ];
        let inside: Vec<Span> =
            inside.iter().filter_map(|&(p, s)| s.map(|(a, b)| timeline.span(p, a, b))).collect();
        if let Some(last) = inside.last() {
            let start = timeline.span(Phase::Boot, entered, entered).start_ns;
            let boot = Span { phase: Phase::Boot, start_ns: start, end_ns: last.end_ns, inside };
            timeline.spans.push(boot);
        }
        if ready && let Some((a, b)) = next(MARK_READY) {
            timeline.spans.push(timeline.span(Phase::Ready, a, b));
            if let Some((a, b)) = next(MARK_FIRST_PACKET) {
                timeline.spans.push(timeline.span(Phase::FirstPacket, a, b));
            }
        }
        timeline
    }
}
