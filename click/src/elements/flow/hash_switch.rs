use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::distribute;
use crate::packet::Batch;

crate::element! {
    /// Sends each packet out of an output that the sum of some of its bytes chooses: packets with the same bytes go together.
    ///
    /// Packets that lack some of these bytes leave by the last output.
    ///
    /// # Arguments
    /// `OFFSET`, `LENGTH`: which bytes.
    HashSwitch "1/1-" "h/h"
    keywords ["OFFSET", "LENGTH"]
    { offset: usize, length: usize }
}

impl HashSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        let (offset, length) = (args.required("OFFSET"), args.required("LENGTH"));
        if length == 0 {
            args.error("LENGTH: must be greater than 0");
        }
        Self { offset, length }
    }
}

impl Element for HashSwitch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let outputs = cx.outputs();
        distribute(cx, batch, |packet| {
            match packet.data().get(self.offset..self.offset.saturating_add(self.length)) {
                Some(bytes) => {
                    let sum: usize = bytes.iter().map(|&b| usize::from(b)).sum();
                    // A power of two sees only the lower bits, so that the upper ones are folded in.
                    let hash = if matches!(outputs, 2 | 4 | 8) { sum ^ (sum >> 4) } else { sum };
                    hash % outputs
                }
                None => outputs - 1,
            }
        });
    }
}
