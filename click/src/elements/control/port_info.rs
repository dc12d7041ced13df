use crate::args::Args;
use crate::element::Element;
use alloc::format;

crate::element! {
    /// Gives names to TCP and UDP ports.
    ///
    /// Arguments of elements that are ports then take the names instead of numbers.
    ///
    /// # Arguments
    /// Each: `NAME PORT`, where the port may be followed by `/tcp` or `/udp`.
    PortInfo "0/0" "a/a" {}
}

impl PortInfo {
    fn new(args: &mut Args<'_>) -> Self {
        // The names were read before any element was made.
        for word in args.rest() {
            let port =
                word.text.split_whitespace().nth(1).and_then(|p| p.split('/').next()?.parse::<u16>().ok());
            if port.is_none() {
                args.error_in(&word, format!("expected 'NAME PORT', not '{}'", word.text));
            }
        }
        Self {}
    }
}

impl Element for PortInfo {}
