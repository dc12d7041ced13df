use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Passes pulled packets on, and pushes a copy of each out of every other output.
    ///
    /// # Arguments
    /// `N`: number of outputs, if it is to be checked.
    PullTee "1/1-" "l/lh"
    keywords ["N"]
    {}
}

impl PullTee {
    fn new(args: &mut Args<'_>) -> Self {
        super::check_outputs(args);
        Self {}
    }
}

impl Element for PullTee {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        for port in 1..cx.outputs() {
            let copy = batch.duplicate();
            cx.output(port, copy);
        }
    }
}
