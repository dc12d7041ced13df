use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Drops what is pushed into it, and never sends anything.
    ///
    /// Closes ports that are not wanted.
    ///
    /// # Arguments
    /// None.
    Idle "-/-" "a/a/x" {}
}

impl Idle {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for Idle {
    fn push(&mut self, _: &mut Context<'_>, _: usize, _: Batch) {}

    fn owns_pull(&self) -> bool {
        true
    }
}
