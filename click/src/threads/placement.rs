//! Which elements are run by which thread.

use crate::engine::Engine;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Sets of elements that stay together.
struct Groups(Vec<usize>);

impl Groups {
    fn root(&self, mut id: usize) -> usize {
        while self.0[id] != id {
            id = self.0[id];
        }
        id
    }

    /// The smaller number stands for both, so that ways to it stay short.
    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (first, second) = (a.min(b), a.max(b));
        self.0[second] = first;
    }

    fn flatten(&mut self) {
        for id in 0..self.0.len() {
            // Those before it are flat.
            self.0[id] = self.0[self.0[id]];
        }
    }
}

/// The thread of each element.
///
/// Elements that pull from each other, or found each other, form a group. Groups that work by themselves (they ask devices,
/// pull, have timers) are placed as `StaticThreadSched` says; if the configuration has none, they take turns. Groups that only
/// get packets are where the first that pushes into them is.
pub(super) fn place(engine: &Engine, threads: usize) -> Vec<usize> {
    let count = engine.slots.len();
    let mut groups = Groups((0..count).collect());
    for (id, ports) in engine.ports.iter().enumerate() {
        for (output, to) in ports.connections() {
            if !ports.pushes(output) {
                groups.unite(id, to.element);
            }
        }
    }
    engine.threads.references.iter().for_each(|&(a, b)| groups.unite(a, b));
    groups.flatten();
    let mut members: Vec<Vec<usize>> = alloc::vec![Vec::new(); count];
    (0..count).for_each(|id| members[groups.0[id]].push(id));

    let mut placed: Vec<Option<usize>> = alloc::vec![None; count];
    let element = |id: usize| engine.slots[id].element.as_deref();
    for id in (0..count).filter(|&id| element(id).is_some_and(|e| e.needs_first_thread())) {
        placed[groups.0[id]] = Some(0);
    }
    for (&id, &thread) in &engine.threads.preferences {
        placed[groups.0[id]].get_or_insert(thread.min(threads - 1));
    }
    let take_turns = engine.threads.preferences.is_empty();
    let pulls =
        |id: usize| (0..engine.slots[id].inputs.len()).any(|input| !engine.ports[id].is_pushed(input));
    let works = |id: usize| {
        element(id).is_some_and(|e| e.is_poller() || (e.is_puller() && pulls(id)) || e.is_driver())
            || engine.tasks().is_scheduled(id)
            || engine.timer(id).is_some()
    };
    let mut turn = 0;
    for root in (0..count).filter(|&id| groups.0[id] == id) {
        if placed[root].is_none() && members[root].iter().any(|&id| works(id)) {
            placed[root] = Some(turn);
            turn = if take_turns { (turn + 1) % threads } else { 0 };
        }
    }
    let mut waiting: VecDeque<usize> = (0..count).filter(|&root| placed[root].is_some()).collect();
    while let Some(root) = waiting.pop_front() {
        for to in members[root]
            .iter()
            .flat_map(|&id| engine.ports[id].connections())
            .map(|(_, to)| groups.0[to.element])
        {
            if placed[to].is_none() {
                placed[to] = placed[root];
                waiting.push_back(to);
            }
        }
    }
    (0..count).map(|id| placed[groups.0[id]].unwrap_or(0)).collect()
}
