use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, DeviceId, Element, Handler, read, write};
use crate::elements::boxed;
use crate::packet::Kind;
use crate::router::TURN;
use alloc::boxed::Box;
use alloc::string::{String, ToString};

/// Packets that arrive at a device.
///
/// Arguments: `DEVNAME` (`0` or `eth0` for the first net device), keywords `BURST` (default 32); `SNIFFER`, `PROMISC` and
/// `METHOD` are accepted and change nothing, since a guest's device is its own. Output 0 (push). Handlers: `count`,
/// `byte_count` (read), `reset_counts` (write).
#[derive(Debug)]
pub struct FromDevice {
    name: String,
    device: Option<DeviceId>,
    burst: usize,
    mac: [u8; 6],
    packets: u64,
    bytes: u64,
}

/// The class.
pub const CLASS: Class = Class {
    name: "FromDevice",
    ports: "0/1",
    processing: "h/h",
    keywords: &["DEVNAME", "BURST", "SNIFFER", "PROMISC", "METHOD"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let name = args.required("DEVNAME");
    for ignored in ["SNIFFER", "PROMISC", "METHOD"] {
        args.key::<String>(ignored);
    }
    let burst = args.key::<usize>("BURST").unwrap_or(TURN).clamp(1, 256);
    boxed(FromDevice { name, device: None, burst, mac: [0; 6], packets: 0, bytes: 0 })
}

impl Element for FromDevice {
    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let device = cx.device(&self.name)?;
        self.mac = cx.host.facts(device).mac;
        self.device = Some(device);
        Ok(())
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(device) = self.device else { return false };
        let mut batch = Batch::new();
        cx.host.receive(device, self.burst, &mut batch);
        if batch.is_empty() {
            return false;
        }
        for p in batch.iter_mut() {
            p.set_mac();
            let kind = match p.data().get(..6) {
                Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => Kind::Broadcast,
                Some(to) if to[0] & 1 != 0 => Kind::Multicast,
                Some(to) if *to == self.mac => Kind::Host,
                _ => Kind::Other,
            };
            p.set_kind(kind);
        }
        self.packets += batch.len() as u64;
        self.bytes += batch.bytes();
        cx.output(0, batch);
        true
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
