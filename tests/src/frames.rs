//! Frames for switches, played from pcap files and read back from them.

use std::path::Path;

/// An Ethernet address that ends in a number.
pub fn mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, n]
}

/// All stations.
pub const EVERYONE: [u8; 6] = [0xff; 6];

/// A frame with some payload, tagged if `vlan` is given.
pub fn frame(to: [u8; 6], from: [u8; 6], vlan: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut f = [to, from].concat();
    if let Some(vlan) = vlan {
        f.extend([0x81, 0x00]);
        f.extend(vlan.to_be_bytes());
    }
    f.extend([0x88, 0xb5]);
    f.extend(payload);
    // As long as Ethernet wants it without the tag.
    let least = if vlan.is_some() { 64 } else { 60 };
    f.resize(f.len().max(least), 0);
    f
}

/// An ARP request.
pub fn arp_request(from: [u8; 6], sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut f = [EVERYONE, from].concat();
    f.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    f.extend(from);
    f.extend(sender);
    f.extend([0; 6]);
    f.extend(target);
    f.resize(60, 0);
    f
}

/// A UDP packet over IPv4, checksums left out.
pub fn udp(to: [u8; 6], from: [u8; 6], source: [u8; 4], target: [u8; 4], port: u16) -> Vec<u8> {
    let mut f = [to, from].concat();
    f.extend([0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
    f.extend(source);
    f.extend(target);
    f.extend(port.to_be_bytes());
    f.extend([0, 53, 0, 26, 0, 0]);
    f.resize(60, 0);
    f
}

/// Writes frames to a pcap file.
pub fn write(file: &Path, frames: &[Vec<u8>]) {
    let mut bytes: Vec<u8> =
        [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1].iter().flat_map(|w| w.to_le_bytes()).collect();
    for frame in frames {
        let length = frame.len() as u32;
        bytes.extend([0, 0, length, length].iter().flat_map(|w: &u32| w.to_le_bytes()));
        bytes.extend(frame);
    }
    std::fs::write(file, bytes).expect("written");
}

/// Reads frames from a pcap file.
pub fn read(file: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut rest = bytes.get(24..).unwrap_or_default();
    let mut frames = Vec::new();
    while rest.len() >= 16 {
        let length = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        let Some(frame) = rest.get(16..16 + length) else { break };
        frames.push(frame.to_vec());
        rest = &rest[16 + length..];
    }
    frames
}
