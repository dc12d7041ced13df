use super::SimpleQueue;
use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::packet::Batch;
use alloc::string::String;
use core::any::Any;

crate::element! {
    /// Holds packets, first in first out, and drops the oldest when it is full: they leave by output 1, if it is there.
    ///
    /// Otherwise like `SimpleQueue`.
    ///
    /// # Arguments
    /// `CAPACITY` (1000): most packets that it holds.
    ///
    /// # Handlers
    /// `length`: packets held. `highwater_length`: most held so far. `capacity`: the argument. `drops`: packets
    /// dropped. `reset_counts`: sets drops and highwater_length back. `reset`: drops all that is held.
    FrontDropQueue "1/1-2" "h/lh"
    keywords ["CAPACITY"]
    handlers [
        read("length"), read("highwater_length"), read_write("capacity"), read("drops"), write("reset_counts"),
        write("reset"),
    ]
    { queue: SimpleQueue }
}

impl FrontDropQueue {
    fn new(args: &mut Args<'_>) -> Self {
        Self { queue: SimpleQueue::new(args) }
    }
}

impl Element for FrontDropQueue {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let queue = &mut self.queue;
        queue.held.append(batch);
        let excess = queue.held.len().saturating_sub(queue.capacity);
        let oldest = queue.held.take_front(excess);
        queue.highwater = queue.highwater.max(queue.held.len());
        queue.drop(cx, oldest);
        cx.notify();
    }

    fn owns_pull(&self) -> bool {
        true
    }

    #[inline]
    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        self.queue.pull(cx, port, most)
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
        self.queue.write(cx, handler, value)
    }
}
