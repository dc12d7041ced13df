//! A host in memory: devices are lists of frames, the clock stands still until it is set.
#![allow(dead_code)]

use click::headers::{Arp, write_ethernet, write_ipv4};
use click::{Batch, DeviceId, DeviceInfo, Host, Packet, Progress, Router, Source};
use std::collections::VecDeque;

/// The router's own addresses on its devices: 10.77.N.1/24.
pub fn own_ip(device: usize) -> [u8; 4] {
    [10, 77, device as u8, 1]
}
pub fn own_mac(device: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, device as u8]
}
/// A client's: 10.77.N.2.
pub fn client_ip(device: usize) -> [u8; 4] {
    [10, 77, device as u8, 2]
}
pub fn client_mac(device: usize) -> [u8; 6] {
    [2, 1, 0, 0, 0, device as u8]
}

#[derive(Default)]
pub struct Device {
    pub incoming: VecDeque<Vec<u8>>,
    pub sent: Vec<Vec<u8>>,
    /// Frames that it still takes.
    pub room: Option<usize>,
}

pub struct Memory {
    pub clock: u64,
    pub devices: Vec<Device>,
    pub printed: String,
}

impl Memory {
    pub fn new(devices: usize) -> Self {
        let devices = (0..devices).map(|_| Device::default()).collect();
        Self { clock: 1_000_000_000, devices, printed: String::new() }
    }
}

impl Host for Memory {
    fn now(&self) -> u64 {
        self.clock
    }
    fn wall_clock(&self) -> u64 {
        1_700_000_000_000_000_000 + self.clock
    }
    fn device(&mut self, name: &str) -> Option<DeviceId> {
        let number: usize = name.strip_prefix("eth").unwrap_or(name).parse().ok()?;
        (number < self.devices.len()).then_some(DeviceId(number))
    }
    fn device_info(&self, device: DeviceId) -> DeviceInfo {
        DeviceInfo { mac: own_mac(device.0), ipv4: Some((own_ip(device.0), 24)), ipv6: None, gateway: None }
    }
    fn receive(&mut self, device: DeviceId, most: usize, batch: &mut Batch) {
        let incoming = &mut self.devices[device.0].incoming;
        let n = most.min(incoming.len());
        incoming.drain(..n).for_each(|f| batch.push(Packet::from_bytes(&f).unwrap()));
    }
    fn transmit(&mut self, device: DeviceId, batch: &mut Batch) {
        let device = &mut self.devices[device.0];
        while device.room != Some(0)
            && let Some(packet) = batch.pop()
        {
            device.sent.push(packet.data().to_vec());
            device.room = device.room.map(|r| r - 1);
        }
    }
    fn print(&mut self, text: &str) {
        self.printed += text;
    }
    fn random_seed(&mut self) -> u64 {
        0x1234_5678_9abc_def1
    }
}

/// A router and its host.
pub struct Bench {
    pub host: Memory,
    pub router: Router,
}

pub fn bench(text: &str) -> Bench {
    let mut host = Memory::new(2);
    let source = Source { name: "test.click", text };
    let router = Router::new(&source, &[], &mut host).unwrap_or_else(|e| panic!("{e}"));
    Bench { host, router }
}

/// What is wrong with a configuration.
pub fn errors(text: &str) -> String {
    match click::check(&Source { name: "test.click", text }, &[]) {
        Ok(_) => panic!("nothing is wrong with {text}"),
        Err(e) => e.to_string(),
    }
}

impl Bench {
    /// Until there is nothing to do but wait.
    pub fn settle(&mut self) -> Progress {
        for _ in 0..100_000 {
            match self.router.run(&mut self.host, 16) {
                Progress::Busy => {}
                other => return other,
            }
        }
        panic!("never idle");
    }

    /// Until `nanos` have passed, waking at every timer.
    pub fn pass(&mut self, nanos: u64) -> Progress {
        let end = self.host.clock + nanos;
        loop {
            let progress = self.settle();
            match progress {
                Progress::Idle { until: Some(time) } if time <= end => {
                    self.host.clock = self.host.clock.max(time);
                }
                Progress::Stopped => return progress,
                _ => {
                    self.host.clock = end;
                    return self.settle();
                }
            }
        }
    }

    /// Frames that leave each device after one came in on a device.
    pub fn send(&mut self, device: usize, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.host.devices[device].incoming.push_back(frame);
        self.settle();
        self.sent()
    }

    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        self.host.devices.iter_mut().flat_map(|d| d.sent.drain(..)).collect()
    }

    pub fn read(&mut self, handler: &str) -> String {
        self.router.read(&mut self.host, handler).unwrap_or_else(|e| panic!("{handler}: {e}"))
    }

    pub fn write(&mut self, handler: &str, value: &str) {
        self.router.write(&mut self.host, handler, value).unwrap_or_else(|e| panic!("{handler}: {e}"));
    }
}

pub fn arp(device: usize, operation: u16, target: [u8; 4]) -> Vec<u8> {
    let sender = (client_mac(device), client_ip(device));
    let target = (if operation == 2 { own_mac(device) } else { [0; 6] }, target);
    Arp { operation, sender, target }.frame([255; 6]).to_vec()
}

/// An IP packet in Ethernet, from the client of a device.
pub fn ip(device: usize, protocol: u8, to: [u8; 4], ttl: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 34];
    write_ethernet(&mut frame, own_mac(device), client_mac(device), 0x0800);
    write_ipv4(&mut frame[14..], 20 + payload.len() as u16, 7, protocol, client_ip(device), to);
    frame[22] = ttl;
    frame[24..26].fill(0);
    let sum = click::headers::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum);
    frame.extend(payload);
    frame
}

pub fn udp(device: usize, to: [u8; 4], port: u16, ttl: u8) -> Vec<u8> {
    let mut payload = [4000u16.to_be_bytes(), port.to_be_bytes(), 12u16.to_be_bytes(), [0; 2]].concat();
    payload.extend(b"data");
    let sum = click::headers::transport_checksum(client_ip(device), to, 17, &payload);
    payload[6..8].copy_from_slice(&sum);
    ip(device, 17, to, ttl, &payload)
}

pub fn ping(device: usize, to: [u8; 4]) -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0, 1, 0, 2, 9, 9, 9];
    let sum = click::headers::checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    ip(device, 1, to, 64, &icmp)
}

/// Checksums of an IP packet in Ethernet are right.
pub fn assert_checksums(frame: &[u8]) {
    assert_eq!(click::headers::checksum(&frame[14..34]), [0, 0], "IP header");
    let segment = &frame[34..];
    let sum = match frame[23] {
        1 => click::headers::checksum(segment),
        p => {
            let address = |at: usize| core::array::from_fn(|i| frame[at + i]);
            click::headers::transport_checksum(address(26), address(30), p, segment)
        }
    };
    assert_eq!(sum, [0, 0], "payload");
}
