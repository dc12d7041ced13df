use super::EXTRA_LENGTH;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Cuts packets to a length.
    ///
    /// # Arguments
    /// `LENGTH`: most bytes. `EXTRA_ANNO` (true): add what was cut off to the extra length annotation.
    Truncate "1/1" "a/a"
    keywords ["LENGTH", "EXTRA_ANNO"]
    { length: usize, annotate: bool }
}

impl Truncate {
    fn new(args: &mut Args<'_>) -> Self {
        Self { length: args.required("LENGTH"), annotate: args.key("EXTRA_ANNO").unwrap_or(true) }
    }
}

impl Element for Truncate {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let cut = packet.len().saturating_sub(self.length);
            packet.truncate(self.length);
            if self.annotate && cut > 0 {
                let extra = EXTRA_LENGTH.get(packet).saturating_add(cut as u32);
                EXTRA_LENGTH.set(packet, extra);
            }
        });
    }
}
