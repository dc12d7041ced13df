use crate::args::{Args, parse_number};
use crate::element::{Context, Element};
use crate::packet::Batch;
use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

crate::element! {
    /// Copies bytes of packets that come in by input 0 into packets that come in by input 1.
    ///
    /// Packets leave by the output of their input's number. Bytes of the last packet that had all of them are kept;
    /// packets that are too short for them, and those before there are any, pass unchanged.
    ///
    /// # Arguments
    /// Which bytes: `OFFSET/LENGTH`, one or several.
    Clipboard "2/2" "a/a/#"
    { ranges: Vec<Range<usize>>, kept: Vec<u8> }
}

impl Clipboard {
    fn new(args: &mut Args<'_>) -> Self {
        let mut ranges = Vec::new();
        for word in args.rest() {
            let number = |text: &str| parse_number(text).and_then(|n| usize::try_from(n).ok());
            let place = word.text.split_once('/').and_then(|(o, l)| number(o).zip(number(l)));
            let range = place.and_then(|(offset, length)| Some(offset..offset.checked_add(length)?));
            match range.filter(|r| r.end <= crate::packet::ROOM) {
                Some(range) => ranges.push(range),
                None => args.error_in(&word, format!("expected 'OFFSET/LENGTH', not '{}'", word.text)),
            }
        }
        Self { ranges, kept: Vec::new() }
    }

    fn pass(&mut self, port: usize, batch: &mut Batch) {
        let end = self.ranges.iter().map(|r| r.end).max().unwrap_or(0);
        batch.each(|packet| {
            if packet.len() < end {
                return;
            }
            if port == 0 {
                self.kept.clear();
                self.ranges.iter().for_each(|r| self.kept.extend_from_slice(&packet.data()[r.clone()]));
                return;
            }
            let mut kept = &self.kept[..];
            for range in &self.ranges {
                let Some((bytes, rest)) = kept.split_at_checked(range.len()) else { return };
                packet.data_mut()[range.clone()].copy_from_slice(bytes);
                kept = rest;
            }
        });
    }
}

impl Element for Clipboard {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        self.pass(port, &mut batch);
        cx.output(port, batch);
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        let mut batch = cx.pull(port, most);
        self.pass(port, &mut batch);
        batch
    }
}
