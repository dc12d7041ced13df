use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, DeviceId, Element, Handler, read, write};
use crate::elements::boxed;
use crate::router::TURN;
use alloc::boxed::Box;
use alloc::string::{String, ToString};

/// Pulls packets and sends them out of a device.
///
/// Arguments: `DEVNAME` (`0` or `eth0` for the first net device), keyword `BURST` (default 32). Input 0 (pull).
/// Handlers: `count`, `byte_count` (read), `reset_counts` (write).
#[derive(Debug)]
pub struct ToDevice {
    name: String,
    device: Option<DeviceId>,
    burst: usize,
    waiting: Batch,
    packets: u64,
    bytes: u64,
}

/// The class.
pub const CLASS: Class = Class {
    name: "ToDevice",
    ports: "1/0",
    processing: "l/l",
    keywords: &["DEVNAME", "BURST", "METHOD"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let name = args.required("DEVNAME");
    args.key::<String>("METHOD");
    let burst = args.key::<usize>("BURST").unwrap_or(TURN).clamp(1, 256);
    boxed(ToDevice { name, device: None, burst, waiting: Batch::new(), packets: 0, bytes: 0 })
}

/// How soon to look again for room in a device that had none, where the host does not say: 100 µs.
const AGAIN: u64 = 100_000;

impl Element for ToDevice {
    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.device = Some(cx.device(&self.name)?);
        cx.schedule();
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(device) = self.device else { return false };
        if self.waiting.is_empty() {
            self.waiting = cx.pull(0, self.burst);
        }
        if self.waiting.is_empty() {
            return false;
        }
        let (packets, bytes) = (self.waiting.len() as u64, self.waiting.bytes());
        cx.host.transmit(device, &mut self.waiting);
        self.packets += packets - self.waiting.len() as u64;
        self.bytes += bytes - self.waiting.bytes();
        if self.waiting.is_empty() {
            return true;
        }
        cx.wake_at(cx.now() + AGAIN);
        false
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read("count"), read("byte_count"), write("reset_counts")]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        if handler == "count" { self.packets.to_string() } else { self.bytes.to_string() }
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        (self.packets, self.bytes) = (0, 0);
        Ok(())
    }
}
