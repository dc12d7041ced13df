use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Sends a copy of each packet out of every output.
    ///
    /// # Arguments
    /// `N`: number of outputs, if it is to be checked.
    Tee "1/1-" "h/h"
    keywords ["N"]
    {}
}

impl Tee {
    fn new(args: &mut Args<'_>) -> Self {
        super::check_outputs(args);
        Self {}
    }
}

impl Element for Tee {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let last = cx.outputs() - 1;
        for port in 0..last {
            let copy = batch.duplicate();
            cx.output(port, copy);
        }
        cx.output(last, batch);
    }
}
