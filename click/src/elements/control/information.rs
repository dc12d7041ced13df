use crate::args::Args;
use crate::element::Element;

crate::element! {
    /// Says something for other programs, which this one needs not know.
    ///
    /// # Arguments
    /// Any; they are not looked at.
    ClickyInfo "0/0" "a/a" {}
}

impl ClickyInfo {
    fn new(args: &mut Args<'_>) -> Self {
        args.rest();
        Self {}
    }
}

impl Element for ClickyInfo {}
