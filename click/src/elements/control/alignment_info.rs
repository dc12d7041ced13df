use crate::args::Args;
use crate::element::Element;

crate::element! {
    /// Accepted, and means nothing: packets need no alignment here.
    ///
    /// # Arguments
    /// Any.
    AlignmentInfo "0/0" "a/a" {}
}

impl AlignmentInfo {
    fn new(args: &mut Args<'_>) -> Self {
        args.rest();
        Self {}
    }
}

impl Element for AlignmentInfo {}
