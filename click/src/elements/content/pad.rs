use super::EXTRA_LENGTH;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Makes packets longer.
    ///
    /// # Arguments
    /// `LENGTH`: least bytes; without it, packets get the bytes that their extra length annotation counts. `ZERO` (true):
    /// fill with zeros, which is done in any case. `MAXLENGTH`: no packet gets longer than that.
    Pad "1/1" "a/a"
    keywords ["LENGTH", "ZERO", "MAXLENGTH"]
    { least: Option<usize>, most: usize }
}

impl Pad {
    fn new(args: &mut Args<'_>) -> Self {
        let least = args.next("LENGTH");
        let _zeros_hide_what_was_there = args.key::<bool>("ZERO");
        Self { least, most: args.key("MAXLENGTH").unwrap_or(usize::MAX) }
    }
}

impl Element for Pad {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(
            |packet| {
                let extra = EXTRA_LENGTH.get(packet) as usize;
                let length = self.least.unwrap_or(packet.len() + extra).min(self.most);
                let missing = length.saturating_sub(packet.len());
                EXTRA_LENGTH.set(packet, (extra - extra.min(missing)) as u32);
                missing == 0 || packet.put(missing).is_some()
            },
            drop,
        );
    }
}
