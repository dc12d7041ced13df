use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::handlers::parse;
use crate::packet::{BURST, Batch};
use alloc::string::{String, ToString};

crate::element! {
    /// Sends packets of random bytes as fast as it can.
    ///
    /// # Arguments
    /// `LENGTH`: bytes of each. `LIMIT` (-1): packets in all; negative: no limit. `BURST` (as many as go together well):
    /// packets each time. `ACTIVE` (true). `STOP` (false): stop the router after the last packet.
    ///
    /// # Handlers
    /// `count`: packets so far. `active`, `limit`, `length`, `burst`: the arguments. `reset`: sets the count to 0.
    RandomSource "0/1" "h/h"
    keywords ["LENGTH", "LIMIT", "BURST", "ACTIVE", "STOP"]
    handlers [read("count"), read_write("active"), read_write("limit"), read_write("length"),
        read_write("burst"), write("reset")]
    { length: usize, limit: i64, burst: usize, active: bool, stop: bool, count: u64 }
}

impl RandomSource {
    fn new(args: &mut Args<'_>) -> Self {
        let length: usize = args.required("LENGTH");
        if length > crate::packet::LARGEST {
            args.error("packet too long");
        }
        let limit = args.next("LIMIT").unwrap_or(-1);
        let burst = args.next("BURST").unwrap_or(BURST).clamp(1, 1024);
        let active = args.next("ACTIVE").unwrap_or(true);
        let stop = args.next("STOP").unwrap_or(false);
        Self { length: length.min(crate::packet::LARGEST), limit, burst, active, stop, count: 0 }
    }

    fn left(&self) -> u64 {
        u64::try_from(self.limit).map_or(u64::MAX, |l| l.saturating_sub(self.count))
    }
}

impl Element for RandomSource {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.schedule();
        Ok(())
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.active {
            return false;
        }
        let mut batch = Batch::empty_packets(cx.at_once(self.left().min(self.burst as u64) as usize));
        let now = cx.host.wall_clock();
        batch.retain_or_else(
            |packet| {
                packet.set_timestamp(now);
                let grown = packet.put(self.length).is_some();
                packet.data_mut().chunks_mut(8).for_each(|chunk| {
                    chunk.copy_from_slice(&cx.random().to_ne_bytes()[..chunk.len()]);
                });
                grown
            },
            drop,
        );
        if batch.is_empty() {
            if self.stop {
                cx.stop();
            }
            return false;
        }
        // Others have a turn before the end is seen.
        self.count += batch.len() as u64;
        cx.output(0, batch);
        true
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "active" => self.active.to_string(),
            "limit" => self.limit.to_string(),
            "burst" => self.burst.to_string(),
            _ => self.length.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => self.active = parse(cx, value)?,
            "limit" => self.limit = parse(cx, value)?,
            "burst" => self.burst = parse::<usize>(cx, value)?.clamp(1, 1024),
            "length" => self.length = parse::<usize>(cx, value)?.min(crate::packet::LARGEST),
            _ => self.count = 0,
        }
        cx.schedule();
        Ok(())
    }
}
