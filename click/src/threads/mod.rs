//! One router on several threads.
//!
//! A router that was initialized is parted: each part has the whole graph and some of the elements, and is run by a thread of
//! its own. Nothing is shared. A batch that is pushed into an element of another part goes there as a message, and so
//! does whatever is asked of its handlers. Elements that pull from each other, or that found each other when they were
//! initialized, stay in one part, so nothing is ever pulled from another thread. `place` says which part is whose.

mod mailbox;
mod placement;

use crate::engine::Engine;
use crate::router::Router;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
pub(crate) use mailbox::Mailbox;
pub use mailbox::Waker;
pub(crate) use mailbox::thread_of;

/// What a router knows of threads.
pub(crate) struct Threads {
    /// How many it is to run on.
    pub(crate) count: usize,
    /// Elements that reach into others, which they found when they were initialized.
    pub(crate) references: BTreeSet<(usize, usize)>,
    /// Threads that elements were placed on by the configuration.
    pub(crate) preferences: BTreeMap<usize, usize>,
    /// Where this part stands among the others, once there are some.
    pub(crate) mailbox: Option<Mailbox>,
}

impl Threads {
    pub(crate) fn new(count: usize) -> Self {
        Self { count, references: BTreeSet::new(), preferences: BTreeMap::new(), mailbox: None }
    }
}

impl Router {
    /// Parts the router, one part for each waker; whoever ran the whole runs the first. A waker is called by other
    /// threads when there is something for a part that said it was idle.
    pub fn part(self, wakers: Vec<Waker>) -> Vec<Router> {
        let mut whole = self.engine;
        let owners = placement::place(&whole, wakers.len());
        let drives = |e: &dyn crate::element::Element| e.is_driver();
        let driver = whole.slots.iter().position(|s| s.element.as_deref().is_some_and(drives));
        let seats = Mailbox::all(owners.clone(), driver, wakers);
        let mut parts: Vec<Engine> = seats.into_iter().map(|mailbox| whole.copy_for(mailbox)).collect();
        // A script that drives the router begins so.
        parts[driver.map_or(0, |id| owners[id])].stop_requested = whole.stop_requested;
        for (id, &owner) in owners.iter().enumerate() {
            whole.move_element(id, &mut parts[owner]);
        }
        while let Some(id) = whole.next_task() {
            parts[owners[id]].schedule(id);
        }
        for id in core::mem::take(&mut whole.blocked) {
            parts[owners[id]].blocked.push(id);
        }
        parts.iter_mut().for_each(Engine::look_at_elements);
        parts.into_iter().map(|engine| Router { engine }).collect()
    }

    /// Puts the parts together again, none of which runs any more. What was on its way between them is delivered when
    /// the router next runs. `None`: there are no parts.
    pub fn join(parts: Vec<Router>) -> Option<Router> {
        let mut parts = parts.into_iter().map(|router| router.engine);
        let mut whole = parts.next()?;
        let mut packets = whole.leave();
        for mut part in parts {
            packets.extend(part.leave());
            for id in 0..whole.slots.len() {
                if part.slots[id].element.is_some() {
                    part.move_element(id, &mut whole);
                }
            }
            while let Some(id) = part.next_task() {
                whole.schedule(id);
            }
            whole.blocked.append(&mut part.blocked);
            whole.stopped |= part.stopped;
            whole.stop_requested |= part.stop_requested;
        }
        whole.look_at_elements();
        packets.into_iter().for_each(|(to, batch)| whole.enqueue(to, batch));
        Some(Router { engine: whole })
    }

    /// Has every part stop at once: its [`Router::run`] says so.
    pub fn halt(&self) {
        if let Some(mailbox) = &self.engine.threads.mailbox {
            mailbox.halt();
        }
    }
}
