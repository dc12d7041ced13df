use crate::args::{Args, parse_time};
use crate::element::{Context, Element};
use crate::packet::Batch;
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Sets packets' timestamps.
    ///
    /// # Arguments
    /// `TIMESTAMP`: seconds since 1970, or `now` (the default). `FIRST` (false): set the first timestamp annotation
    /// instead, 8 bytes of nanoseconds.
    SetTimestamp "1/1" "a/a"
    keywords ["TIMESTAMP", "FIRST"]
    { time: Option<u64>, first: bool }
}

impl SetTimestamp {
    fn new(args: &mut Args<'_>) -> Self {
        let text: Option<String> = args.next("TIMESTAMP");
        let time = text.filter(|t| t != "now").and_then(|text| {
            let time = parse_time(&text);
            if time.is_none() {
                args.error(format!("TIMESTAMP: expected a time or 'now', not '{text}'"));
            }
            time
        });
        Self { time, first: args.key("FIRST").unwrap_or(false) }
    }
}

impl Element for SetTimestamp {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let time = self.time.unwrap_or_else(|| cx.host.wall_clock());
        batch.each(|packet| {
            if self.first {
                let at = super::FIRST_TIMESTAMP;
                packet.user()[at..at + 8].copy_from_slice(&time.to_ne_bytes());
            } else {
                packet.set_timestamp(time);
            }
        });
    }
}
