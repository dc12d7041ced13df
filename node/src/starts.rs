//! How long starts took, by phase, since the daemon began: what a dashboard makes quantiles of.

use machine::timeline::{Phase, Span, Timeline};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Upper bounds of the classes, nanoseconds. What takes longer is only counted.
const BOUNDS_NS: [u64; 15] = [
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// What took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many took no longer than each bound and longer than the one before.
    classes: [u64; BOUNDS_NS.len()],
    /// How many there were.
    pub count: u64,
    /// Their sum, nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    fn add(&mut self, took_ns: u64) {
        if let Some(class) = BOUNDS_NS.iter().position(|&bound| took_ns <= bound) {
            self.classes[class] += 1;
        }
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(took_ns);
    }

    /// Each bound, seconds, with how many took no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS_NS.iter().zip(self.classes).scan(0, |below, (&bound, class)| {
            *below += class;
            Some((bound as f64 / 1e9, *below))
        })
    }
}

/// What a histogram is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Start {
    /// A phase, or all of them: from the request to ready.
    pub phase: Option<Phase>,
    /// Whether the guest was a prepared one.
    pub prepared: bool,
}

/// All starts that became ready.
#[derive(Default)]
pub struct Starts(Mutex<BTreeMap<Start, Histogram>>);

impl Starts {
    /// One more has become ready.
    pub fn add(&self, timeline: &Timeline) {
        let prepared = timeline.preparation.is_some();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut add = |phase, took_ns| all.entry(Start { phase, prepared }).or_default().add(took_ns);
        add(None, timeline.total_ns());
        let mut spans: Vec<&Span> = timeline.spans.iter().collect();
        while let Some(span) = spans.pop() {
            add(Some(span.phase), span.length_ns());
            spans.extend(&span.inside);
        }
    }

    /// As they are now.
    pub fn all(&self) -> BTreeMap<Start, Histogram> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::timeline::Tsc;

    #[test]
    fn starts_are_counted_by_phase_and_kind() {
        let starts = Starts::default();
        let mut timeline = Timeline::new(Tsc(0), 1_000_000_000);
        let mut spawn = timeline.span(Phase::Spawn, Tsc(0), Tsc(3_000_000));
        spawn.inside.push(timeline.span(Phase::Create, Tsc(0), Tsc(20_000)));
        timeline.spans.push(spawn);
        starts.add(&timeline);
        timeline.preparation = Some(Box::default());
        timeline.spans.push(timeline.span(Phase::Boot, Tsc(3_000_000), Tsc(60_000_000_000)));
        starts.add(&timeline);
        let all = starts.all();
        let of = |phase, prepared| &all[&Start { phase, prepared }];
        assert_eq!((of(None, false).count, of(None, false).sum_ns), (1, 3_000_000));
        assert_eq!(of(Some(Phase::Create), false).cumulative().next(), Some((2e-5, 1)));
        assert_eq!(of(Some(Phase::Spawn), true), of(Some(Phase::Spawn), false));
        // Longer than the last bound: counted, and in no class.
        let boot = of(Some(Phase::Boot), true);
        assert_eq!((boot.count, boot.cumulative().last()), (1, Some((10.0, 0))));
        assert!(!all.contains_key(&Start { phase: Some(Phase::Boot), prepared: false }));
    }
}
