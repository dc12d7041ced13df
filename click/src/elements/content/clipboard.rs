use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;
use alloc::vec::Vec;

crate::element! {
    /// Copies bytes of packets that come in by input 0 into packets that come in by input 1.
    ///
    /// Packets leave by the output of their input's number. Bytes of the last packet that had all of them are kept;
    /// packets that are too short for them, and those before there are any, pass unchanged.
    ///
    /// # Arguments
    /// `FROM_OFFSET`, `LENGTH`: which bytes. `TO_OFFSET` (FROM_OFFSET): where they go.
    Clipboard "2/2" "h/h"
    keywords ["FROM_OFFSET", "LENGTH", "TO_OFFSET"]
    { from: usize, to: usize, kept: Vec<u8>, full: bool }
}

impl Clipboard {
    fn new(args: &mut Args<'_>) -> Self {
        let (from, length) = (args.required("FROM_OFFSET"), args.required::<usize>("LENGTH"));
        if length > crate::packet::ROOM {
            args.error("LENGTH: longer than a packet");
        }
        let kept = alloc::vec![0; length.min(crate::packet::ROOM)];
        Self { from, to: args.next("TO_OFFSET").unwrap_or(from), kept, full: false }
    }
}

impl Element for Clipboard {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        let place = |at: usize, length: usize| at..at.saturating_add(length);
        batch.each(|packet| {
            if port == 0 {
                if let Some(bytes) = packet.data().get(place(self.from, self.kept.len())) {
                    self.kept.copy_from_slice(bytes);
                    self.full = true;
                }
            } else if self.full
                && let Some(bytes) = packet.data_mut().get_mut(place(self.to, self.kept.len()))
            {
                bytes.copy_from_slice(&self.kept);
            }
        });
        cx.output(port, batch);
    }
}
