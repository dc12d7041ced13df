use super::name;
use crate::args::Args;
use crate::element::{Context, DeviceId, Element, read, write};
use crate::packet::{BURST, Batch};
use alloc::string::{String, ToString};
use core::any::Any;

/// Packets that wait for room on the device when they are pushed; others are dropped.
const WAITING: usize = 1024;

crate::element! {
    /// Sends packets to a net device, pulled or pushed.
    ///
    /// It sleeps while there are none to pull, and while the device is full. Of packets that are pushed, 1024 wait then, and
    /// others are dropped. Copies of what was sent leave by the output, if it is there.
    ///
    /// # Arguments
    /// `DEVNAME`, or `DEVID` (0): the device. `BURST` (32): packets at once. `METHOD`, `NO_PAD`, `QUIET`, `DEBUG` are
    /// accepted.
    ///
    /// # Handlers
    /// `count`: packets so far. `drops`: packets that were pushed and found no room. `reset_counts`: sets the counts to 0.
    /// `device`: the argument.
    ToDevice "1/0-1" "a/h"
    keywords ["DEVNAME", "DEVID", "BURST", "METHOD", "NO_PAD", "QUIET", "DEBUG"]
    handlers [read("count"), read("drops"), read("device"), write("reset_counts")]
    { name: String, device: Option<DeviceId>, burst: usize, pulls: bool, waiting: Batch, count: u64, drops: u64 }
}

impl ToDevice {
    fn new(args: &mut Args<'_>) -> Self {
        let name = name(args);
        for keyword in ["METHOD", "NO_PAD", "QUIET", "DEBUG"] {
            args.ignored(keyword);
        }
        let burst = args.next("BURST").unwrap_or(BURST).max(1);
        Self { name, device: None, burst, pulls: true, waiting: Batch::new(), count: 0, drops: 0 }
    }

    /// Sends what waits; whether all went out.
    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(device) = self.device else { return false };
        let before = self.waiting.len();
        // The device keeps what it is given.
        let mut copies = if cx.outputs() > 0 { self.waiting.duplicate() } else { Batch::new() };
        cx.host.transmit(device, &mut self.waiting);
        let sent = before.saturating_sub(self.waiting.len());
        self.count += sent as u64;
        cx.output(0, copies.take_front(sent));
        if !self.waiting.is_empty() {
            cx.schedule_when_called();
        }
        self.waiting.is_empty()
    }
}

impl Element for ToDevice {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.device = Some(cx.device(&self.name)?);
        self.pulls = cx.pulls(0);
        cx.schedule();
        Ok(())
    }

    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        if self.waiting.is_empty() {
            self.waiting = batch;
            self.send(cx);
            batch = self.waiting.take_front(WAITING);
            core::mem::swap(&mut batch, &mut self.waiting);
        } else {
            let room = WAITING.saturating_sub(self.waiting.len());
            self.waiting.append(batch.take_front(room));
        }
        self.drops += batch.len() as u64;
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waiting.is_empty() && self.pulls {
            self.waiting = cx.pull(0, self.burst);
        }
        !self.waiting.is_empty() && self.send(cx) && self.pulls
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<ToDevice>() {
            self.waiting = core::mem::take(&mut old.waiting);
            (self.count, self.drops) = (old.count, old.drops);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "drops" => self.drops.to_string(),
            _ => self.name.clone(),
        })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        (self.count, self.drops) = (0, 0);
        Ok(())
    }
}
