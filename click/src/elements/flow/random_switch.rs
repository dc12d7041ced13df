use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::Runs;
use crate::packet::Batch;

crate::element! {
    /// Sends each packet out of any of its outputs.
    ///
    /// # Arguments
    /// None.
    RandomSwitch "1/1-" "h/h" {}
}

impl RandomSwitch {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for RandomSwitch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let mut runs = Runs::new();
        while let Some(packet) = batch.pop() {
            let output = (u128::from(cx.random()) * cx.outputs() as u128) >> 64;
            runs.add(cx, output as usize, packet);
        }
        runs.finish(cx);
    }
}
