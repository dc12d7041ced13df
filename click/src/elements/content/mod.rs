//! What looks at packets' bytes and annotations, whatever they mean, and counts.

mod classifier;
mod counter;
mod paint;
mod print;
mod strip;
mod unstrip;

pub use classifier::Classifier;
pub(crate) use classifier::{Runs, distribute, one_each};
pub use counter::Counter;
pub use paint::Paint;
pub use print::Print;
pub use strip::Strip;
pub use unstrip::Unstrip;

use crate::args::Args;
use crate::packet::{PAINT, USER_BYTES};
use alloc::string::String;

/// The next argument, or `ANNO`: a byte of the user annotations, by number or name.
pub(super) fn annotation(args: &mut Args<'_>) -> Option<usize> {
    let text: String = args.next("ANNO")?;
    let at = match text.as_str() {
        "PAINT" => Some(PAINT),
        "DST_IP" => Some(0),
        number => crate::args::parse_number(number).map(|n| n as usize),
    };
    if at.is_none_or(|n| n >= USER_BYTES) {
        args.error(alloc::format!("ANNO: expected an annotation byte, not '{text}'"));
    }
    at.filter(|&n| n < USER_BYTES)
}
