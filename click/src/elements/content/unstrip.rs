use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::{Batch, HEADROOM};

crate::element! {
    /// Puts back bytes that were taken off packets' fronts.
    ///
    /// # Arguments
    /// `LENGTH`: how many bytes.
    Unstrip "1/1" "a/a"
    keywords ["LENGTH"]
    { length: usize }
}

impl Unstrip {
    fn new(args: &mut Args<'_>) -> Self {
        let length: usize = args.required("LENGTH");
        if length > HEADROOM {
            args.error(alloc::format!("LENGTH: at most {HEADROOM} bytes can be put back"));
        }
        Self { length: length.min(HEADROOM) }
    }
}

impl Element for Unstrip {
    #[inline]
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| packet.push(self.length).is_some(), drop);
    }
}
