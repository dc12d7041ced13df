use super::SimpleQueue;
use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::packet::Batch;
use alloc::string::String;
use core::any::Any;

crate::element! {
    /// Holds packets: those from input 0 first in first out, those from input 1 last in first out and before the others.
    ///
    /// When it is full, packets that come in by input 0 are dropped; those by input 1 drop the last that would leave.
    ///
    /// # Arguments
    /// `CAPACITY` (1000): most packets that it holds.
    ///
    /// # Handlers
    /// `length`: packets held. `highwater_length`: most held so far. `capacity`: the argument. `drops`: packets
    /// dropped. `reset_counts`: sets drops and highwater_length back. `reset`: drops all that is held.
    MixedQueue "2/1-2" "h/lh"
    keywords ["CAPACITY"]
    handlers [
        read("length"), read("highwater_length"), read_write("capacity"), read("drops"), write("reset_counts"),
        write("reset"),
    ]
    { queue: SimpleQueue }
}

impl MixedQueue {
    fn new(args: &mut Args<'_>) -> Self {
        Self { queue: SimpleQueue::new(args) }
    }
}

impl Element for MixedQueue {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        if port == 0 {
            return self.queue.push(cx, 0, batch);
        }
        let queue = &mut self.queue;
        while let Some(packet) = batch.pop() {
            let mut front = Batch::one(packet);
            front.append(core::mem::take(&mut queue.held));
            queue.held = front;
        }
        let kept = queue.held.take_front(queue.capacity);
        let oldest = core::mem::replace(&mut queue.held, kept);
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
