use crate::args::Args;
use crate::element::Element;

crate::element! {
    /// Passes packets on, unchanged.
    ///
    /// # Arguments
    /// None.
    Null "1/1" "a/a" {}
}

impl Null {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for Null {}
