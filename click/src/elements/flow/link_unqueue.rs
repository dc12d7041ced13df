use crate::args::{Args, Bandwidth, Time, seconds};
use crate::element::{Context, Element, Nanos, read, read_write, write};
use crate::elements::content::EXTRA_LENGTH;
use crate::handlers::parse;
use crate::packet::Packet;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use core::any::Any;

/// Packets that may be on the link at once.
const MOST: usize = 1 << 16;

crate::element! {
    /// Pulls packets as a link with a bandwidth and a latency would take them, and pushes them as it would deliver them.
    ///
    /// Their timestamps say when they were delivered.
    ///
    /// # Arguments
    /// `LATENCY`: time from one end to the other. `BANDWIDTH`: bytes a second, or with a unit.
    ///
    /// # Handlers
    /// `latency`, `bandwidth`: the arguments. `size`: packets on the link. `reset`: drops them.
    LinkUnqueue "1/1" "l/h"
    keywords ["LATENCY", "BANDWIDTH"]
    handlers [read_write("latency"), read_write("bandwidth"), read("size"), write("reset")]
    {
        latency: Nanos,
        bandwidth: u64,
        /// Packets on the link, and when they arrive.
        link: VecDeque<(Nanos, Packet)>,
        /// When the link's near end is free.
        free: Nanos,
        /// What makes a time of the clock one since 1970.
        since_1970: Nanos,
    }
}

impl LinkUnqueue {
    fn new(args: &mut Args<'_>) -> Self {
        let (latency, bandwidth) =
            (args.required::<Time>("LATENCY").0, args.required::<Bandwidth>("BANDWIDTH").0);
        if bandwidth == 0 {
            args.error("BANDWIDTH: must be greater than 0");
        }
        Self { latency, bandwidth: bandwidth.max(1), link: VecDeque::new(), free: 0, since_1970: 0 }
    }
}

impl Element for LinkUnqueue {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.since_1970 = cx.host.wall_clock().saturating_sub(cx.exact_now());
        cx.schedule();
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let now = cx.now();
        while self.link.front().is_some_and(|p| p.0 <= now) {
            if let Some((arrival, mut packet)) = self.link.pop_front() {
                packet.set_timestamp(self.since_1970.saturating_add(arrival));
                cx.output_one(0, packet);
            }
        }
        while self.free <= now && self.link.len() < MOST {
            let Some(mut packet) = cx.pull(0, 1).pop() else { break };
            let length = packet.len() as u64 + u64::from(EXTRA_LENGTH.get(&mut packet));
            let time = u128::from(length) * 1_000_000_000 / u128::from(self.bandwidth);
            // A link that was busy until now takes the next packet at once.
            let start = if now - self.free < 1_000_000 { self.free } else { now };
            self.free = start.saturating_add(u64::try_from(time).unwrap_or(Nanos::MAX));
            self.link.push_back((self.free.saturating_add(self.latency), packet));
        }
        let arrival = self.link.front().map(|p| p.0);
        // Who asks a link that is busy comes back when it is free.
        let free = (self.free > now).then_some(self.free);
        if let Some(time) = arrival.into_iter().chain(free).min() {
            cx.wake_at(time);
        }
        false
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "latency" => seconds(self.latency),
            "bandwidth" => self.bandwidth.to_string(),
            _ => self.link.len().to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "latency" => self.latency = parse::<Time>(cx, value)?.0,
            "bandwidth" => self.bandwidth = parse::<Bandwidth>(cx, value)?.0.max(1),
            _ => {
                self.link.clear();
                self.free = 0;
            }
        }
        cx.schedule();
        Ok(())
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.link = core::mem::take(&mut old.link);
            self.free = old.free;
        }
    }
}
