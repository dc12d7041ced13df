use crate::args::Args;
use crate::element::{Context, DeviceId, Element, read, write};
use crate::packet::{BURST, Batch};
use alloc::string::{String, ToString};
use core::any::Any;

crate::element! {
    /// Pulls packets and sends them to a net device.
    ///
    /// It sleeps while there are none, and while the device is full.
    ///
    /// # Arguments
    /// `DEVNAME`: the device. `BURST` (32): packets at once. `METHOD`, `NO_PAD`, `QUIET` are accepted.
    ///
    /// # Handlers
    /// `count`: packets so far. `reset_counts`: sets the count to 0. `device`: the argument.
    ToDevice "1/0" "l/"
    keywords ["DEVNAME", "BURST", "METHOD", "NO_PAD", "QUIET"]
    handlers [read("count"), read("device"), write("reset_counts")]
    { name: String, device: Option<DeviceId>, burst: usize, waiting: Batch, count: u64 }
}

impl ToDevice {
    fn new(args: &mut Args<'_>) -> Self {
        let name = args.required::<String>("DEVNAME");
        args.key::<String>("METHOD");
        args.key::<bool>("NO_PAD");
        args.key::<bool>("QUIET");
        let burst = args.key("BURST").unwrap_or(BURST).max(1);
        Self { name, device: None, burst, waiting: Batch::new(), count: 0 }
    }
}

impl Element for ToDevice {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.device = Some(cx.device(&self.name)?);
        cx.schedule();
        Ok(())
    }

    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(device) = self.device else { return false };
        if self.waiting.is_empty() {
            self.waiting = cx.pull(0, self.burst);
        }
        let before = self.waiting.len();
        if before == 0 {
            return false;
        }
        cx.host.transmit(device, &mut self.waiting);
        self.count += before.saturating_sub(self.waiting.len()) as u64;
        if !self.waiting.is_empty() {
            cx.schedule_when_called();
            return false;
        }
        true
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<ToDevice>() {
            self.waiting = core::mem::take(&mut old.waiting);
            self.count = old.count;
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "count" { self.count.to_string() } else { self.name.clone() })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.count = 0;
        Ok(())
    }
}
