use super::{queue_downstream, room_downstream};
use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::handlers::parse;
use crate::packet::BURST;
use alloc::string::{String, ToString};

crate::element! {
    /// Pulls packets as fast as it can, and pushes them.
    ///
    /// It sleeps while there are none.
    ///
    /// # Arguments
    /// `BURST` (as many as go together well): packets pulled at once; negative: all that there are. `ACTIVE` (true):
    /// when false, nothing is pulled. `LIMIT` (-1): most packets pulled in all; negative: no limit.
    ///
    /// # Handlers
    /// `count`: packets so far. `active`, `burst`, `limit`: the arguments. `reset`, `reset_counts`: set the count to 0.
    Unqueue "1/1" "l/h"
    keywords ["BURST", "ACTIVE", "LIMIT"]
    handlers [read("count"), read_write("active"), read_write("burst"), read_write("limit"), write("reset"), write("reset_counts")]
    {
        burst: i32,
        active: bool,
        limit: i64,
        count: u64,
        /// A `Queue` to wait for.
        queue: Option<usize>,
    }
}

impl Unqueue {
    fn new(args: &mut Args<'_>) -> Self {
        Self {
            burst: args.next("BURST").unwrap_or(BURST as i32),
            active: args.key("ACTIVE").unwrap_or(true),
            limit: args.key("LIMIT").unwrap_or(-1),
            count: 0,
            queue: None,
        }
    }
}

impl Element for Unqueue {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        if self.burst == 0 {
            cx.warn("BURST size 0, no packets will be pulled");
        }
        self.queue = queue_downstream(cx);
        cx.schedule();
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let left = u64::try_from(self.limit).map_or(u64::MAX, |l| l.saturating_sub(self.count));
        let burst = u64::try_from(self.burst).unwrap_or(u64::MAX).min(left);
        if !self.active || burst == 0 {
            return false;
        }
        let room = room_downstream(cx, self.queue);
        if room == 0 {
            return false;
        }
        let batch = cx.pull(0, room.min(burst.try_into().unwrap_or(usize::MAX)));
        let more = !batch.is_empty();
        self.count += batch.len() as u64;
        cx.output(0, batch);
        more
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "active" => self.active.to_string(),
            "burst" => self.burst.to_string(),
            _ => self.limit.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => self.active = parse(cx, value)?,
            "burst" => self.burst = parse(cx, value)?,
            "limit" => self.limit = parse(cx, value)?,
            _ => self.count = 0,
        }
        cx.schedule();
        Ok(())
    }
}
