use super::SimpleQueue;
use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::packet::Batch;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;

crate::element! {
    /// Holds packets, first in first out.
    ///
    /// Packets are pushed in and pulled out; pullers sleep while it is empty. While it is full, `InfiniteSource` and
    /// `Unqueue` upstream wait, unless something stands between that gives packets more than one way; what others push
    /// into it then is dropped, or leaves by output 1 if it is there.
    ///
    /// # Arguments
    /// `CAPACITY` (1000): most packets that it holds.
    ///
    /// # Handlers
    /// `length`: packets held. `highwater_length`: most held so far. `capacity`: the argument. `drops`: packets
    /// dropped. `notifier_state`: whether there is something to pull, and whether there is room. `reset_counts`: sets drops and highwater_length back. `reset`: drops all that is held.
    Queue "1/1-2" "h/lh"
    keywords ["CAPACITY"]
    handlers [
        read("length"), read("highwater_length"), read_write("capacity"), read("drops"), write("reset_counts"),
        write("reset"), read("notifier_state"),
    ]
    {
        queue: SimpleQueue,
        /// Who waits upstream, and whether that may be so.
        waiting: Vec<usize>,
        full: bool,
    }
}

impl Queue {
    fn new(args: &mut Args<'_>) -> Self {
        Self { queue: SimpleQueue::new(args), waiting: Vec::new(), full: false }
    }

    /// How many more it takes.
    pub(crate) fn room(&self) -> usize {
        self.queue.capacity.saturating_sub(self.queue.held.len())
    }

    /// Wakes those who wait, once there is room.
    fn notify_waiting(&mut self, cx: &mut Context<'_>) {
        if self.full && self.room() > 0 {
            self.full = false;
            self.waiting.iter().for_each(|&id| cx.schedule_other(id));
        }
    }
}

/// The queue that an element pushes into, past elements with one way only, if it has those upstream wait.
///
/// On several threads nobody waits: such a queue is where one thread hands packets to another.
pub(crate) fn queue_downstream(cx: &mut Context<'_>) -> Option<usize> {
    if cx.threads() > 1 {
        return None;
    }
    let id = cx.only_way(|e| (e as &dyn Any).is::<Queue>())?;
    let me = cx.id();
    let queue = (cx.element(id)? as &mut dyn Any).downcast_mut::<Queue>()?;
    queue.waiting.push(me);
    Some(id)
}

/// How many packets that queue takes now; who is told 0 is woken later.
#[inline]
pub(crate) fn room_downstream(cx: &mut Context<'_>, queue: Option<usize>) -> usize {
    let Some(id) = queue else { return usize::MAX };
    let Some(queue) = cx.element(id).and_then(|e| (e as &mut dyn Any).downcast_mut::<Queue>()) else {
        return usize::MAX;
    };
    queue.full |= queue.room() == 0;
    queue.room()
}

impl Element for Queue {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, batch: Batch) {
        self.queue.push(cx, port, batch);
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        let batch = self.queue.pull(cx, port, most);
        self.notify_waiting(cx);
        batch
    }

    fn notifies(&self) -> bool {
        true
    }

    fn stored(&self) -> Option<usize> {
        self.queue.stored()
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.queue.take_over(&mut old.queue);
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        self.queue.read(cx, handler, argument)
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        self.queue.write(cx, handler, value)?;
        self.notify_waiting(cx);
        Ok(())
    }
}
