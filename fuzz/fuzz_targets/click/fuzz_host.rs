//! A host for routers that are fuzzed: device 0 brings one packet, and what is sent can be looked at.

use click::{Batch, DeviceId, DeviceInfo, Host, Packet, Progress, Router, Source};

/// The host.
pub struct FuzzHost {
    pub clock: u64,
    packet: Option<Vec<u8>>,
    /// What was sent since the last packet: by which device, and its bytes.
    pub sent: Vec<(usize, Vec<u8>)>,
}

impl FuzzHost {
    /// It, and a router.
    pub fn with(text: &str) -> (Self, Router) {
        let mut fuzz_host = Self { clock: 1_000_000_000, packet: None, sent: Vec::new() };
        let source = Source { name: "fuzz.click", text };
        let router = Router::new(&source, &[], &mut fuzz_host).unwrap_or_else(|e| panic!("{text}: {e}"));
        (fuzz_host, router)
    }

    /// Has a packet go all its way.
    pub fn bring(&mut self, router: &mut Router, packet: Vec<u8>) {
        self.sent.clear();
        self.packet = Some(packet);
        for _ in 0..1000 {
            if router.run(self, 16) != Progress::Busy {
                break;
            }
        }
    }
}

impl Host for FuzzHost {
    fn now(&self) -> u64 {
        self.clock
    }
    fn wall_clock(&self) -> u64 {
        1_700_000_000_000_000_000 + self.clock
    }
    fn device(&mut self, name: &str) -> Option<DeviceId> {
        match name {
            "0" | "eth0" => Some(DeviceId(0)),
            "1" => Some(DeviceId(1)),
            _ => None,
        }
    }
    fn device_info(&self, _: DeviceId) -> DeviceInfo {
        DeviceInfo { mac: [2, 0, 0, 0, 0, 1], ipv4: Some(([10, 0, 0, 1], 24)), gateway: None, ipv6: None }
    }
    fn receive(&mut self, device: DeviceId, _: usize, batch: &mut Batch) {
        if device.0 == 0
            && let Some(packet) = self.packet.take().and_then(|p| Packet::from_bytes(&p))
        {
            batch.push(packet);
        }
    }
    fn transmit(&mut self, device: DeviceId, batch: &mut Batch) {
        while let Some(packet) = batch.pop() {
            self.sent.push((device.0, packet.data().to_vec()));
        }
    }
    fn print(&mut self, _: &str) {}
    fn random_seed(&mut self) -> u64 {
        7
    }
}
