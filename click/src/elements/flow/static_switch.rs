use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;
use alloc::format;

crate::element! {
    /// Sends all packets out of one output, for good.
    ///
    /// # Arguments
    /// `OUTPUT`: the output; negative, or one that is not there: packets are dropped.
    StaticSwitch "1/-" "h/h"
    keywords ["OUTPUT"]
    { output: i32 }
}

impl StaticSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        let output = args.required("OUTPUT");
        if output >= args.outputs as i32 {
            args.error(format!("OUTPUT: output {output} does not exist ({} are connected)", args.outputs));
        }
        Self { output }
    }
}

impl Element for StaticSwitch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        if let Ok(port) = usize::try_from(self.output) {
            cx.output(port, batch);
        }
    }
}
