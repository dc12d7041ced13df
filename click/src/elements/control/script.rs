use crate::args::Args;
use crate::element::Element;
crate::element! {
    /// Later.
    Script "0/0" "a/a" {}
}
impl Script {
    fn new(args: &mut Args<'_>) -> Self {
        args.rest();
        Self {}
    }
}
impl Element for Script {}
