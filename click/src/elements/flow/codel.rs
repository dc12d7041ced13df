use crate::args::{Args, Time, seconds};
use crate::decimal::square_root;
use crate::element::{Context, Element, Nanos, read, read_write};
use crate::handlers::parse;
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Drops packets that waited too long, the more the longer that lasts (controlled delay, RFC 8289).
    ///
    /// Packets are pulled through it from a queue, and must have their time of arrival as timestamp: those without one pass.
    /// Dropped packets leave by output 1, if it is there.
    ///
    /// # Arguments
    /// `TARGET` (5 ms): waiting that is no harm. `INTERVAL` (100 ms): for how long packets may wait longer. `QUEUES` is
    /// accepted.
    ///
    /// # Handlers
    /// `codel_target`, `codel_interval`: the arguments. `drops`: packets dropped.
    CoDel "1/1-2" "l/lh"
    keywords ["TARGET", "INTERVAL", "QUEUES"]
    handlers [read_write("codel_target"), read_write("codel_interval"), read("drops")]
    {
        target: Nanos,
        interval: Nanos,
        /// When packets will have waited too long for an interval, if they do.
        above: Option<Nanos>,
        /// While it drops: when the next packet is dropped, and how many there were.
        dropping: Option<Nanos>,
        count: u32,
        drops: u64,
    }
}

impl CoDel {
    fn new(args: &mut Args<'_>) -> Self {
        let target = args.next("TARGET").unwrap_or(Time(5_000_000)).0;
        let interval = args.next("INTERVAL").unwrap_or(Time(100_000_000)).0.max(1);
        args.ignored("QUEUES");
        Self { target, interval, above: None, dropping: None, count: 0, drops: 0 }
    }

    /// When the next packet is dropped after one that was at `time`.
    fn next(&self, time: Nanos) -> Nanos {
        time.saturating_add((self.interval as f64 / square_root(f64::from(self.count.max(1)))) as u64)
    }

    /// Whether a packet that leaves now waited too long, and others before it.
    fn is_late(&mut self, packet: &Packet, now: Nanos, wall: Nanos) -> bool {
        let stamp = packet.timestamp();
        if stamp == 0 || wall.saturating_sub(stamp) < self.target {
            self.above = None;
            return false;
        }
        match self.above {
            None => {
                self.above = Some(now.saturating_add(self.interval));
                false
            }
            Some(since) => now >= since,
        }
    }

    /// Whether the packet is to be dropped.
    fn should_drop(&mut self, packet: &Packet, now: Nanos, wall: Nanos) -> bool {
        let late = self.is_late(packet, now, wall);
        match self.dropping {
            Some(_) if !late => {
                self.dropping = None;
                false
            }
            Some(next) if now >= next => {
                self.count += 1;
                self.dropping = Some(self.next(next));
                true
            }
            Some(_) => false,
            None if late => {
                // It goes on where it was if that is not long ago.
                self.count = if self.count > 2 { self.count - 2 } else { 1 };
                self.dropping = Some(self.next(now));
                true
            }
            None => false,
        }
    }
}

impl Element for CoDel {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let (now, wall) = (cx.now(), cx.host.wall_clock());
        let mut dropped = Batch::new();
        batch.retain_or_else(|packet| !self.should_drop(packet, now, wall), |packet| dropped.push(packet));
        self.drops += dropped.len() as u64;
        cx.output(1, dropped);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "codel_target" => seconds(self.target),
            "codel_interval" => seconds(self.interval),
            _ => self.drops.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let time = parse::<Time>(cx, value)?.0;
        *(if handler == "codel_target" { &mut self.target } else { &mut self.interval }) = time.max(1);
        Ok(())
    }
}
