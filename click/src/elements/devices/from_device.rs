use super::name;
use crate::args::Args;
use crate::element::{Context, DeviceId, Element, read, write};
use crate::packet::{BURST, Batch, Kind};
use alloc::string::{String, ToString};

crate::element! {
    /// Receives packets from a net device and pushes them.
    ///
    /// In a guest, devices are called `0` or `eth0`, and so on.
    ///
    /// # Arguments
    /// `DEVNAME`, or `DEVID` (0): the device. `BURST` (32): packets at once. `SNIFFER`, `PROMISC`, `SNAPLEN`, `FORCE_IP`, `METHOD`,
    /// `CAPTURE`, `HEADROOM`, `OUTBOUND`, `TIMESTAMP`, `ENCAP`, `PROTOCOL` are accepted: a device that belongs to this router gives it all it gets.
    ///
    /// # Handlers
    /// `count`: packets so far. `reset_counts`: sets the count to 0. `device`: the argument.
    FromDevice "0/1" "/h"
    keywords [
        "DEVNAME", "DEVID", "BURST", "SNIFFER", "PROMISC", "SNAPLEN", "FORCE_IP", "METHOD", "CAPTURE", "HEADROOM", "OUTBOUND", "TIMESTAMP",
        "ENCAP", "PROTOCOL",
    ]
    handlers [read("count"), read("device"), write("reset_counts")]
    { name: String, device: Option<DeviceId>, mac: [u8; 6], burst: usize, count: u64 }
}

/// Arguments that mean nothing here.
const ACCEPTED: [&str; 11] = [
    "SNIFFER",
    "PROMISC",
    "SNAPLEN",
    "FORCE_IP",
    "METHOD",
    "CAPTURE",
    "HEADROOM",
    "OUTBOUND",
    "TIMESTAMP",
    "ENCAP",
    "PROTOCOL",
];

impl FromDevice {
    fn new(args: &mut Args<'_>) -> Self {
        let name = name(args);
        // As on a host: in this order, if they are not named.
        args.positional_as("PROMISC");
        args.positional_as("SNAPLEN");
        for keyword in ACCEPTED {
            args.ignored(keyword);
        }
        let burst = args.key("BURST").unwrap_or(BURST).max(1);
        Self { name, device: None, mac: [0; 6], burst, count: 0 }
    }
}

impl Element for FromDevice {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let device = cx.device(&self.name)?;
        self.device = Some(device);
        self.mac = cx.host.device_info(device).mac;
        Ok(())
    }

    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(device) = self.device else { return false };
        let mut batch = Batch::new();
        cx.host.receive(device, self.burst, &mut batch);
        if batch.is_empty() {
            return false;
        }
        self.count += batch.len() as u64;
        let now = cx.host.wall_clock();
        batch.each(|packet| {
            packet.set_timestamp(now);
            packet.set_mac();
            let destination = packet.data().first_chunk::<6>().copied().unwrap_or(self.mac);
            packet.set_kind(match destination {
                d if d == self.mac => Kind::Host,
                [255, 255, 255, 255, 255, 255] => Kind::Broadcast,
                [first, ..] if first & 1 == 1 => Kind::Multicast,
                _ => Kind::Other,
            });
        });
        cx.output(0, batch);
        true
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "count" { self.count.to_string() } else { self.name.clone() })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.count = 0;
        Ok(())
    }
}
