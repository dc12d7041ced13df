use crate::args::Args;
use crate::element::Element;

crate::element! {
    /// Gives names to TCP and UDP ports.
    ///
    /// Arguments that are port numbers then take the names instead, and so do ports in the expressions of `IPFilter`.
    ///
    /// # Arguments
    /// Each: `NAME PORT OTHER_NAME...`, where the port may be followed by `/tcp` or `/udp`; what follows a `#` is a comment.
    PortInfo "0/0" "a/a" {}
}

impl PortInfo {
    fn new(args: &mut Args<'_>) -> Self {
        // The names were read before any element was made.
        args.rest();
        Self {}
    }
}

impl Element for PortInfo {}
