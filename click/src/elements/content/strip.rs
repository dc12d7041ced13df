use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Takes bytes off packets' fronts.
    ///
    /// Shorter packets become empty.
    ///
    /// # Arguments
    /// `LENGTH`: how many bytes.
    Strip "1/1" "a/a"
    keywords ["LENGTH"]
    { length: usize }
}

impl Strip {
    fn new(args: &mut Args<'_>) -> Self {
        Self { length: args.required("LENGTH") }
    }
}

impl Element for Strip {
    #[inline]
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            if !packet.pull(self.length) {
                packet.truncate(0);
            }
        });
    }
}
