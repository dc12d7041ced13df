//! When each connection has something to do: a heap with one entry a connection, which can be moved.

use crate::clock::Instant;
use alloc::vec::Vec;

/// No entry.
const NONE: u32 = u32::MAX;

/// The heap.
#[derive(Default)]
pub struct Timers {
    /// A binary heap: the earliest is first.
    heap: Vec<(Instant, u32)>,
    /// By number: the place in the heap.
    places: Vec<u32>,
}

impl Timers {
    /// Makes room for numbers below `count`; whether there is memory.
    pub fn reserve(&mut self, count: usize) -> bool {
        let more = count.saturating_sub(self.places.len());
        let fits = self.places.try_reserve(more).is_ok()
            && self.heap.try_reserve(count.saturating_sub(self.heap.len())).is_ok();
        if fits && more > 0 {
            self.places.resize(count, NONE);
        }
        fits
    }

    /// The earliest.
    pub fn first(&self) -> Option<(Instant, usize)> {
        self.heap.first().map(|&(at, number)| (at, number as usize))
    }

    /// Sets when a number is due. There is room for it.
    pub fn set(&mut self, number: usize, at: Option<Instant>) {
        let Some(&place) = self.places.get(number) else { return };
        let place = match (place, at) {
            (NONE, None) => return,
            (NONE, Some(at)) => {
                self.heap.push((at, number as u32));
                self.heap.len() - 1
            }
            (place, Some(at)) => {
                self.heap[place as usize].0 = at;
                place as usize
            }
            (place, None) => {
                self.heap.swap_remove(place as usize);
                self.places[number] = NONE;
                place as usize
            }
        };
        if place < self.heap.len() {
            let place = self.up(place);
            self.down(place);
        }
    }

    fn up(&mut self, mut place: usize) -> usize {
        while place > 0 && self.heap[place].0 < self.heap[(place - 1) / 2].0 {
            self.heap.swap(place, (place - 1) / 2);
            self.note(place);
            place = (place - 1) / 2;
        }
        self.note(place);
        place
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let at = |place: usize| self.heap.get(place).map(|(at, _)| *at);
            let child = if at(right).is_some() && at(right) < at(left) { right } else { left };
            if child >= self.heap.len() || self.heap[place].0 <= self.heap[child].0 {
                return self.note(place);
            }
            self.heap.swap(place, child);
            self.note(place);
            place = child;
        }
    }

    fn note(&mut self, place: usize) {
        self.places[self.heap[place].1 as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn the_earliest_is_first_whatever_is_set(steps in prop::collection::vec((0usize..40, any::<Option<u8>>()), 1..300)) {
            let mut timers = Timers::default();
            prop_assert!(timers.reserve(40));
            let mut known = [None; 40];
            for (number, at) in steps {
                let at = at.map(|at| Instant(at.into()));
                known[number] = at;
                timers.set(number, at);
                prop_assert_eq!(timers.first().map(|(at, _)| at), known.iter().flatten().min().copied());
                if let Some((at, number)) = timers.first() {
                    prop_assert_eq!(known[number], Some(at));
                }
            }
        }
    }
}
