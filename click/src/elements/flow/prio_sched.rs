use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Pulls from the first of its inputs that has packets.
    ///
    /// # Arguments
    /// None.
    PrioSched "-/1" "l/l" {}
}

impl PrioSched {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for PrioSched {
    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let mut batch = Batch::new();
        for input in 0..cx.inputs() {
            if batch.len() < most {
                batch.append(cx.pull(input, most - batch.len()));
            }
        }
        batch
    }
}
