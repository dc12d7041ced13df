use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::distribute;
use crate::packet::Batch;

crate::element! {
    /// Sends packets out of its outputs in turn.
    ///
    /// # Arguments
    /// None.
    RoundRobinSwitch "1/1-" "h/h" { next: usize }
}

impl RoundRobinSwitch {
    fn new(_: &mut Args<'_>) -> Self {
        Self { next: 0 }
    }
}

impl Element for RoundRobinSwitch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let outputs = cx.outputs();
        distribute(cx, batch, |_| {
            let output = self.next;
            self.next = (output + 1) % outputs;
            output
        });
    }
}
