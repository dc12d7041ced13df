use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Pulls from its inputs in turn, one packet from each.
    ///
    /// Inputs without packets are passed over.
    ///
    /// # Arguments
    /// None.
    RoundRobinSched "-/1" "l/l" { next: usize }
}

impl RoundRobinSched {
    fn new(_: &mut Args<'_>) -> Self {
        Self { next: 0 }
    }
}

impl Element for RoundRobinSched {
    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let inputs = cx.inputs();
        let (mut batch, mut empty) = (Batch::new(), 0);
        while batch.len() < most && empty < inputs {
            let one = cx.pull(self.next, 1);
            self.next = (self.next + 1) % inputs;
            empty = if one.is_empty() { empty + 1 } else { 0 };
            batch.append(one);
        }
        batch
    }
}
