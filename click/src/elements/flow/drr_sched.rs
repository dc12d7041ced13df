use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::{Batch, Packet};
use alloc::vec::Vec;
use core::any::Any;

crate::element! {
    /// Pulls from its inputs in turn, the same number of bytes from each.
    ///
    /// That is deficit round robin (Shreedhar and Varghese, 1995).
    ///
    /// # Arguments
    /// `QUANTUM` (500): bytes that an input may send more in every round.
    DRRSched "-/1" "l/l"
    keywords ["QUANTUM"]
    { quantum: u64, inputs: Vec<Input>, next: usize }
}

/// What an input may still send, and its first packet if that is more.
#[derive(Default)]
struct Input {
    deficit: u64,
    head: Option<Packet>,
}

impl DRRSched {
    fn new(args: &mut Args<'_>) -> Self {
        let inputs = (0..args.inputs).map(|_| Input::default()).collect();
        Self { quantum: args.next::<u64>("QUANTUM").unwrap_or(500).max(1), inputs, next: 0 }
    }

    fn one(&mut self, cx: &mut Context<'_>) -> Option<Packet> {
        let mut empty = 0;
        while empty < self.inputs.len() {
            let input = &mut self.inputs[self.next];
            let head = input.head.take().or_else(|| cx.pull(self.next, 1).pop());
            match head {
                Some(packet) if packet.len() as u64 <= input.deficit => {
                    input.deficit -= packet.len() as u64;
                    return Some(packet);
                }
                Some(packet) => {
                    input.head = Some(packet);
                    empty = 0;
                }
                None => {
                    // Who has nothing to send saves nothing.
                    input.deficit = 0;
                    empty += 1;
                }
            }
            self.next = (self.next + 1) % self.inputs.len();
            self.inputs[self.next].deficit += self.quantum;
        }
        None
    }
}

impl Element for DRRSched {
    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let mut batch = Batch::new();
        while batch.len() < most
            && let Some(packet) = self.one(cx)
        {
            batch.push(packet);
        }
        batch
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            for (new, old) in self.inputs.iter_mut().zip(&mut old.inputs) {
                *new = core::mem::take(old);
            }
        }
    }
}
