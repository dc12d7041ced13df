//! What a prepared guest does before anybody has asked for it: it builds a router, sends packets through it and throws both
//! away. What is left is memory that was touched: code, heap, and buffers for the first packets.

use alloc::string::String;
use click::{Batch, DeviceId, DeviceInfo, Host, Nanos, Packet, Progress, Router, Source};

/// Of the net that is for documentation (RFC 5737).
const ADDRESS: [u8; 4] = [192, 0, 2, 1];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// From 192.0.2.2: who has 192.0.2.1?
const QUESTION: [u8; 42] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2,
    192, 0, 2, 2, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
];
/// From 192.0.2.2: an ICMP echo request to 192.0.2.1, without data.
const PING: [u8; 42] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0xf6, 0xdd, 192, 0, 2, 2,
    192, 0, 2, 1, 8, 0, 0xf7, 0xff, 0, 0, 0, 0,
];
/// Turns of the router, more than two packets need.
const TURNS: usize = 64;
/// Rounds of a turn.
const ROUNDS: usize = 16;

/// A world with one device, at which two packets have come.
struct NullHost {
    incoming: [Option<&'static [u8]>; 2],
}

impl Host for NullHost {
    fn now(&self) -> Nanos {
        0
    }

    fn wall_clock(&self) -> Nanos {
        0
    }

    fn device(&mut self, name: &str) -> Option<DeviceId> {
        matches!(name, "eth0" | "0").then_some(DeviceId(0))
    }

    fn device_info(&self, _: DeviceId) -> DeviceInfo {
        DeviceInfo { mac: MAC, ipv4: Some((ADDRESS, 24)), ipv6: None, gateway: None }
    }

    fn receive(&mut self, _: DeviceId, _: usize, batch: &mut Batch) {
        for frame in &mut self.incoming {
            if let Some(packet) = frame.take().and_then(Packet::from_bytes) {
                batch.push(packet);
            }
        }
    }

    fn transmit(&mut self, _: DeviceId, batch: &mut Batch) {
        while batch.pop().is_some() {}
    }

    fn print(&mut self, _: &str) {}

    fn random_seed(&mut self) -> u64 {
        1
    }
}

/// Touches what a start will touch, with so many buffers for packets.
pub fn prepare(buffers: usize) {
    let mut host = NullHost { incoming: [Some(&QUESTION), Some(&PING)] };
    let variables: [(String, String); 0] = [];
    let source = Source { name: "ahead", text: include_str!("ahead.click") };
    if let Ok(mut router) = Router::new(&source, &variables, &mut host) {
        for _ in 0..TURNS {
            if !matches!(router.run(&mut host, ROUNDS), Progress::Busy) {
                break;
            }
        }
    }
    let mut batch = Batch::default();
    (0..buffers).filter_map(|_| Packet::new(0)).for_each(|packet| batch.push(packet));
}
