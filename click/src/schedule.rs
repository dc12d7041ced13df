//! Who works when: tasks take turns by stride scheduling (Waldspurger and Weihl, 1995), timers fire in order.

use crate::element::Nanos;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Tickets of a task that was not given others.
const TICKETS: u32 = 1024;
/// Stride of a task with one ticket.
const STRIDE: u64 = 1 << 16;

#[derive(Clone, Copy)]
struct Task {
    scheduled: bool,
    tickets: u32,
    stride: u64,
    pass: u64,
}

/// Elements that want to work.
pub(crate) struct Tasks {
    all: Vec<Task>,
    /// Lowest pass first; among equals, who came first.
    ready: BinaryHeap<Reverse<(u64, u64, usize)>>,
    pass: u64,
    arrivals: u64,
}

impl Tasks {
    pub(crate) fn new(count: usize) -> Self {
        let task = Task { scheduled: false, tickets: TICKETS, stride: STRIDE / u64::from(TICKETS), pass: 0 };
        Self { all: alloc::vec![task; count], ready: BinaryHeap::new(), pass: 0, arrivals: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    #[inline]
    pub(crate) fn add(&mut self, id: usize) {
        let task = &mut self.all[id];
        if task.scheduled {
            return;
        }
        task.scheduled = true;
        // Who slept does not get back what it missed.
        task.pass = (task.pass + task.stride).max(self.pass);
        self.arrivals += 1;
        self.ready.push(Reverse((task.pass, self.arrivals, id)));
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<usize> {
        let Reverse((pass, _, id)) = self.ready.pop()?;
        self.pass = pass;
        self.all[id].scheduled = false;
        Some(id)
    }

    pub(crate) fn set_tickets(&mut self, id: usize, tickets: u32) {
        let tickets = tickets.clamp(1, STRIDE as u32);
        (self.all[id].tickets, self.all[id].stride) = (tickets, STRIDE / u64::from(tickets));
    }

    pub(crate) fn tickets(&self, id: usize) -> u32 {
        self.all[id].tickets
    }

    /// Whether an element is to work.
    pub(crate) fn is_scheduled(&self, id: usize) -> bool {
        self.all[id].scheduled
    }

    /// Whether it ever was.
    pub(crate) fn is_known(&self, id: usize) -> bool {
        self.all[id].pass > 0
    }
}

/// One timer for each element.
pub(crate) struct Timers {
    set: Vec<Option<Nanos>>,
    /// Earliest first. An entry whose element has since set another time means nothing.
    ordered: BinaryHeap<Reverse<(Nanos, usize)>>,
}

impl Timers {
    pub(crate) fn new(count: usize) -> Self {
        Self { set: alloc::vec![None; count], ordered: BinaryHeap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.ordered.len()
    }

    pub(crate) fn get(&self, id: usize) -> Option<Nanos> {
        self.set[id]
    }

    pub(crate) fn set(&mut self, id: usize, time: Option<Nanos>) {
        if self.set[id] == time {
            return;
        }
        self.set[id] = time;
        let Some(time) = time else { return };
        self.ordered.push(Reverse((time, id)));
        if self.ordered.len() > 2 * self.set.len() + 64 {
            let set = &self.set;
            self.ordered.retain(|Reverse((time, id))| set[*id] == Some(*time));
        }
    }

    /// The earliest time that is set.
    pub(crate) fn first(&mut self) -> Option<Nanos> {
        while let Some(&Reverse((time, id))) = self.ordered.peek() {
            if self.set[id] == Some(time) {
                return Some(time);
            }
            self.ordered.pop();
        }
        None
    }

    /// Takes the earliest timer, if its time has come.
    pub(crate) fn due(&mut self, now: Nanos) -> Option<usize> {
        self.first().filter(|&time| time <= now)?;
        let Reverse((_, id)) = self.ordered.pop()?;
        self.set[id] = None;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_by_tickets() {
        let mut tasks = Tasks::new(2);
        tasks.set_tickets(1, 3 * TICKETS);
        let mut turns = [0; 2];
        tasks.add(0);
        tasks.add(1);
        for _ in 0..400 {
            let id = tasks.next().unwrap();
            turns[id] += 1;
            tasks.add(id);
        }
        assert!((95..=105).contains(&turns[0]), "{turns:?}");
    }

    #[test]
    fn timers_fire_in_order_and_forget_what_was_unset() {
        let mut timers = Timers::new(3);
        for (id, time) in [(0, 30), (1, 10), (2, 20), (1, 40), (2, 20)] {
            timers.set(id, Some(time));
        }
        timers.set(0, None);
        assert_eq!(timers.due(19), None);
        assert_eq!((timers.due(50), timers.due(50), timers.due(50)), (Some(2), Some(1), None));
        (0..10_000).for_each(|t| timers.set(0, Some(t)));
        assert!(timers.len() < 100);
    }
}
