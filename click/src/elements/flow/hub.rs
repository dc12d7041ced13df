use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Sends each packet out of all outputs but the one with its input's number.
    ///
    /// # Arguments
    /// None.
    Hub "-/=" "h/h" {}
}

impl Hub {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for Hub {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, batch: Batch) {
        let outputs = cx.outputs();
        let Some(last) = (0..outputs).rev().find(|&o| o != port) else { return };
        for output in (0..last).filter(|&o| o != port) {
            let copy = batch.duplicate();
            cx.output(output, copy);
        }
        cx.output(last, batch);
    }
}
