use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};
use core::any::Any;

crate::element! {
    /// Holds packets, first in first out, and drops new ones when it is full: they leave by output 1, if it is there.
    ///
    /// Packets are pushed in and pulled out; pullers sleep while it is empty. Sources do not wait, as they do before a
    /// `Queue`.
    ///
    /// # Arguments
    /// `CAPACITY` (1000): most packets that it holds.
    ///
    /// # Handlers
    /// `length`: packets held. `highwater_length`: most held so far. `capacity`: the argument. `drops`: packets
    /// dropped. `notifier_state`: whether there is something to pull, and whether there is room. `reset_counts`: sets drops and highwater_length back. `reset`: drops all that is held.
    SimpleQueue "1/1-2" "h/lh"
    keywords ["CAPACITY"]
    handlers [
        read("length"), read("highwater_length"), read_write("capacity"), read("drops"), write("reset_counts"),
        write("reset"), read("notifier_state"),
    ]
    { pub(super) held: Batch, pub(super) capacity: usize, pub(super) highwater: usize, pub(super) drops: u64 }
}

impl SimpleQueue {
    pub(super) fn new(args: &mut Args<'_>) -> Self {
        let capacity = args.next("CAPACITY").unwrap_or(1000);
        Self { held: Batch::new(), capacity, highwater: 0, drops: 0 }
    }

    /// Counts packets that there is no room for, and sends them out of output 1; says so of the first.
    pub(super) fn drop(&mut self, cx: &mut Context<'_>, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        if self.drops == 0 && self.capacity > 0 {
            let line = alloc::format!("{}: overflow", cx.declaration());
            cx.print(&line);
        }
        self.drops += batch.len() as u64;
        cx.output(1, batch);
    }
}

impl Element for SimpleQueue {
    #[inline]
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let room = self.capacity.saturating_sub(self.held.len());
        self.held.append(batch.take_front(room));
        self.highwater = self.highwater.max(self.held.len());
        self.drop(cx, batch);
        cx.notify();
    }

    fn owns_pull(&self) -> bool {
        true
    }

    #[inline]
    fn pull(&mut self, _: &mut Context<'_>, _: usize, most: usize) -> Batch {
        self.held.take_front(most)
    }

    fn notifies(&self) -> bool {
        true
    }

    fn stored(&self) -> Option<usize> {
        Some(self.held.len())
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<SimpleQueue>() {
            self.drops += old.drops;
            self.held = old.held.take_front(self.capacity);
            self.drops += old.held.len() as u64;
            self.highwater = self.held.len();
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "length" => self.held.len().to_string(),
            "highwater_length" => self.highwater.to_string(),
            "capacity" => self.capacity.to_string(),
            "notifier_state" => {
                let full = self.held.len() >= self.capacity;
                alloc::format!("nonempty {}\nnonfull {}", !self.held.is_empty(), !full)
            }
            _ => self.drops.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "capacity" => {
                self.capacity = parse(cx, value)?;
                self.drops += self.held.len().saturating_sub(self.capacity) as u64;
                self.held = self.held.take_front(self.capacity);
            }
            "reset" => {
                self.drops += self.held.len() as u64;
                self.held = Batch::new();
            }
            _ => {
                self.drops = 0;
                self.highwater = self.held.len();
            }
        }
        Ok(())
    }
}
