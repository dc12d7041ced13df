use crate::args::Args;
use crate::element::{Context, Element, Nanos, read, read_write, write};
use crate::handlers::parse;
use crate::packet::{BURST, Batch, Packet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most packets that are kept.
const MOST: usize = 1 << 20;

crate::element! {
    /// Pulls all packets that there are, keeps them, and pushes copies of them again and again.
    ///
    /// With several inputs they go out in the order of their timestamps, by the output of the same number.
    ///
    /// # Arguments
    /// `STOP` (1): how often all are sent, and the router stops then; 0: once, and it goes on; negative: for ever.
    /// `STOP_TIME` (0): seconds after which it ends too; 0: none. `LIMIT` (0): most packets that are kept; 0: 1048576.
    /// `TIMING` (0): percentage of the pace of the timestamps; 0: as fast as it can. `BURST` (32): packets at once. `ACTIVE`
    /// (true). `QUICK_CLONE`, `VERBOSE`, `FREEONTERMINATE`, `USE_SIGNAL`, `QUEUE` are accepted.
    ///
    /// # Handlers
    /// `active`: the argument. `count`: packets so far. `loaded`: packets that are kept. `reset`: begins anew.
    ReplayUnqueue "1-/=" "l/h"
    keywords [
        "STOP", "STOP_TIME", "LIMIT", "TIMING", "BURST", "ACTIVE", "QUICK_CLONE", "VERBOSE", "FREEONTERMINATE",
        "USE_SIGNAL", "QUEUE",
    ]
    handlers [read_write("active"), read("count"), read("loaded"), write("reset")]
    {
        loops: i64,
        most_time: u64,
        limit: usize,
        timing: u64,
        burst: usize,
        active: bool,
        /// Packets with their inputs, once all are there.
        kept: Vec<(usize, Packet)>,
        loaded: bool,
        next: usize,
        done: i64,
        began: Option<Nanos>,
        /// Time on the clock and of the first packet in this round.
        base: Option<Nanos>,
        count: u64,
    }
}

impl ReplayUnqueue {
    fn new(args: &mut Args<'_>) -> Self {
        let loops = args.next("STOP").unwrap_or(1);
        for name in ["QUICK_CLONE", "VERBOSE", "FREEONTERMINATE", "USE_SIGNAL", "QUEUE"] {
            args.ignored(name);
        }
        Self {
            loops,
            most_time: args.key("STOP_TIME").unwrap_or(0),
            limit: args.key::<usize>("LIMIT").filter(|&l| l > 0).unwrap_or(MOST).min(MOST),
            timing: args.key::<u64>("TIMING").unwrap_or(0),
            burst: args.key::<usize>("BURST").unwrap_or(BURST).max(1),
            active: args.key("ACTIVE").unwrap_or(true),
            kept: Vec::new(),
            loaded: false,
            next: 0,
            done: 0,
            began: None,
            base: None,
            count: 0,
        }
    }

    /// Takes more of what there is; whether there was some.
    fn load(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        for input in 0..cx.inputs() {
            let room = self.limit.saturating_sub(self.kept.len()).min(BURST);
            let mut batch = if room > 0 { cx.pull(input, room) } else { Batch::new() };
            any |= !batch.is_empty();
            if self.kept.try_reserve(batch.len()).is_err() {
                return false;
            }
            self.kept.extend(batch.drain().map(|packet| (input, packet)));
        }
        any
    }

    /// When the next packet is due.
    fn due(&mut self, now: Nanos) -> Nanos {
        let first = self.kept.first().map_or(0, |p| p.1.timestamp());
        let after = self.kept[self.next].1.timestamp().saturating_sub(first);
        let base = *self.base.get_or_insert(now);
        match self.timing {
            0 => now,
            percent => base.saturating_add((u128::from(after) * 100 / u128::from(percent)) as Nanos),
        }
    }

    /// A round has ended; whether another begins.
    fn restart(&mut self, cx: &mut Context<'_>) -> bool {
        (self.next, self.base) = (0, None);
        self.done += 1;
        let late = self.most_time > 0
            && cx.now().saturating_sub(self.began.unwrap_or(0))
                >= self.most_time.saturating_mul(1_000_000_000);
        if late || (self.loops >= 0 && self.done >= self.loops.max(1)) {
            self.active = false;
            if self.loops > 0 || late {
                cx.stop();
            }
        }
        self.active
    }
}

impl Element for ReplayUnqueue {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.schedule();
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.active {
            return false;
        }
        if !self.loaded {
            if self.load(cx) {
                return true;
            }
            if self.kept.is_empty() {
                // There may be some later.
                return false;
            }
            self.loaded = true;
            if cx.inputs() > 1 {
                self.kept.sort_by_key(|p| p.1.timestamp());
            }
        }
        let now = cx.now();
        self.began.get_or_insert(now);
        for _ in 0..self.burst {
            let due = self.due(now);
            if due > now {
                cx.wake_at(due);
                return false;
            }
            let (input, packet) = &self.kept[self.next];
            if let Some(copy) = packet.duplicate() {
                self.count += 1;
                cx.output_one(*input, copy);
            }
            self.next += 1;
            if self.next == self.kept.len() {
                return self.restart(cx);
            }
        }
        true
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "active" => self.active.to_string(),
            "count" => self.count.to_string(),
            _ => self.kept.len().to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => self.active = parse(cx, value)?,
            _ => {
                (self.next, self.done, self.began, self.base) = (0, 0, None, None);
                self.active = true;
            }
        }
        cx.schedule();
        Ok(())
    }
}
