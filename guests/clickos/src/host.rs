//! Click's host interface on the instance's net devices, clock and console.

use crate::buffer::PacketBuffer;
use alloc::vec::Vec;
use click::{Batch, DeviceId, DeviceInfo, Host, Nanos};
use minios::abi::boot::{COUNTER_DROPPED, COUNTER_RECEIVED, COUNTER_TRANSMITTED, MARK_FIRST_PACKET};
use minios::idle::Source;
use minios::net::{Device, HEADER};
use minios::{boot, clock, console, random};

/// Receive buffers posted at first: few, since each touches memory. More follow when traffic uses them up.
pub const POSTED_FIRST: usize = 32;

/// A net device with its receive buffers.
struct Port {
    device: Device<PacketBuffer>,
    /// Size of a receive buffer, bytes.
    room: usize,
    /// Receive buffers to keep posted.
    wanted: usize,
    /// Whether the transmit ring was full at the last transmission: Click waits for free descriptors.
    blocked: bool,
}

impl Port {
    fn refill(&mut self) {
        let ring = &mut self.device.receive;
        while ring.in_flight() < self.wanted {
            // A full heap: the device has fewer buffers, and drops what does not fit.
            let Some(buffer) = PacketBuffer::empty(self.room) else { break };
            if ring.put(buffer).is_err() {
                break;
            }
        }
        ring.publish();
    }

    fn reclaim(&mut self) {
        while let Some((buffer, _)) = self.device.transmit.take() {
            self.blocked = false;
            drop(buffer);
        }
    }
}

impl Source for Port {
    fn has_work(&self) -> bool {
        self.device.receive.has_work() || (self.blocked && self.device.transmit.has_work())
    }

    fn arm(&mut self) {
        self.device.receive.arm();
        if self.blocked {
            self.device.transmit.arm();
        }
    }

    fn disarm(&mut self) {
        self.device.receive.disarm();
        self.device.transmit.disarm();
    }
}

/// The host interface.
pub struct ClickHost {
    ports: Vec<Port>,
    /// Whether a packet has been transmitted.
    forwarded: bool,
}

impl ClickHost {
    /// Opens every net device of the instance and posts receive buffers.
    pub fn open() -> Self {
        let mut ports = Vec::new();
        for index in 0..boot::net_devices().len() {
            let Some(device) = Device::open(index) else { continue };
            let room = device.packet_maximum() - HEADER;
            let wanted = POSTED_FIRST.min(device.receive.size());
            let mut port = Port { device, room, wanted, blocked: false };
            port.refill();
            ports.push(port);
        }
        Self { ports, forwarded: false }
    }

    /// The wake-up sources, one a device.
    pub fn sources(&mut self) -> Vec<&mut dyn Source> {
        self.ports.iter_mut().map(|port| port as &mut dyn Source).collect()
    }

    /// Indices of devices whose rings violate the virtio specification.
    pub fn broken(&self) -> impl Iterator<Item = usize> {
        let broken = |p: &Port| p.device.receive.is_broken() || p.device.transmit.is_broken();
        self.ports.iter().enumerate().filter(move |(_, p)| broken(p)).map(|(i, _)| i)
    }
}

impl Host for ClickHost {
    fn now(&self) -> Nanos {
        clock::now().0
    }

    fn cycles(&self) -> u64 {
        clock::tsc().0
    }

    fn wall_clock(&self) -> Nanos {
        clock::unix_ns()
    }

    fn device(&mut self, name: &str) -> Option<DeviceId> {
        let index: usize = name.strip_prefix("eth").unwrap_or(name).parse().ok()?;
        (index < self.ports.len()).then_some(DeviceId(index))
    }

    fn device_info(&self, device: DeviceId) -> DeviceInfo {
        let info = self.ports[device.0].device.info;
        let ipv4 = (info.ipv4 != [0; 4]).then_some((info.ipv4, info.ipv4_prefix));
        let gateway = (info.ipv4_gateway != [0; 4]).then_some(info.ipv4_gateway);
        let ipv6 = (info.ipv6 != [0; 16]).then_some((info.ipv6, info.ipv6_prefix));
        DeviceInfo { mac: info.mac, ipv4, ipv6, gateway }
    }

    fn receive(&mut self, device: DeviceId, most: usize, batch: &mut Batch) {
        let port = &mut self.ports[device.0];
        let before = batch.len();
        while batch.len() - before < most {
            let Some((buffer, written)) = port.device.receive.take() else { break };
            batch.push(buffer.filled(written));
        }
        let received = batch.len() - before;
        if received > 0 {
            if port.device.receive.in_flight() == 0 {
                port.wanted = (2 * port.wanted).min(port.device.receive.size());
            }
            port.refill();
            boot::add_to_counter(COUNTER_RECEIVED, received as u64);
        }
    }

    fn transmit(&mut self, device: DeviceId, batch: &mut Batch) {
        let port = &mut self.ports[device.0];
        port.reclaim();
        let mut sent = 0;
        while !batch.is_empty() {
            if port.device.transmit.in_flight() == port.device.transmit.size() {
                port.blocked = true;
                break;
            }
            let Some(packet) = batch.pop() else { break };
            match PacketBuffer::to_transmit(packet).map(|buffer| port.device.transmit.put(buffer)) {
                Ok(Ok(())) => sent += 1,
                _ => boot::add_to_counter(COUNTER_DROPPED, 1),
            }
        }
        port.device.transmit.publish();
        if sent > 0 {
            boot::add_to_counter(COUNTER_TRANSMITTED, sent);
            if !core::mem::replace(&mut self.forwarded, true) {
                boot::mark(MARK_FIRST_PACKET);
            }
        }
    }

    fn print(&mut self, text: &str) {
        console::write(text.as_bytes());
    }

    fn random_seed(&mut self) -> u64 {
        random::next_u64()
    }
}
