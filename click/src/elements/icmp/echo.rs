//! ICMP messages around a payload.

use crate::args::Ipv4;
use crate::element::Context;
use crate::handlers::parse;
use crate::headers::{IPV4, PROTOCOL_ICMP, checksum, update, write_ipv4};
use crate::packet::Packet;
use alloc::string::{String, ToString};

/// Types of messages with an identifier and a sequence number: echo, timestamp, information, and their answers.
const NUMBERED: [u8; 6] = [0, 8, 13, 14, 15, 16];

/// Headers of messages, with an identifier and a sequence number (RFC 792).
pub(super) struct Encapsulation {
    source: Ipv4,
    destination: Ipv4,
    kind: (u8, u8),
    /// As it is sent.
    identifier: [u8; 2],
    ttl: u8,
    /// Number of the next message, from 1 on; 0 is left out.
    pub(super) sequence: u16,
}

impl Encapsulation {
    pub(super) fn new(ends: (Ipv4, Ipv4), kind: (u8, u8), identifier: u16) -> Self {
        let identifier = identifier.to_be_bytes();
        Self { source: ends.0, destination: ends.1, kind, identifier, ttl: 255, sequence: 1 }
    }

    /// As Click's source of pings has it: the identifier's lower byte comes first.
    pub(super) fn of_pings(ends: (Ipv4, Ipv4), identifier: u16) -> Self {
        Self { identifier: identifier.to_le_bytes(), ttl: 200, ..Self::new(ends, (8, 0), 0) }
    }

    /// Puts headers in front of a packet; `false`: there is no room.
    pub(super) fn put(&mut self, packet: &mut Packet) -> bool {
        let Ok(total) = u16::try_from(packet.len() + IPV4 + 8) else { return false };
        if packet.push(IPV4 + 8).is_none() {
            return false;
        }
        let (ip, icmp) = packet.data_mut().split_at_mut(IPV4);
        write_ipv4(ip, total, self.sequence, PROTOCOL_ICMP, self.source.0, self.destination.0);
        let sum = update([ip[10], ip[11]], [ip[8], ip[9]], [self.ttl, ip[9]]);
        (ip[8], ip[10], ip[11]) = (self.ttl, sum[0], sum[1]);
        icmp[..8].fill(0);
        icmp[..2].copy_from_slice(&[self.kind.0, self.kind.1]);
        if NUMBERED.contains(&self.kind.0) {
            icmp[4..6].copy_from_slice(&self.identifier);
            icmp[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        }
        let sum = checksum(icmp);
        icmp[2..4].copy_from_slice(&sum);
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        packet.set_headers(0, IPV4);
        packet.set_destination(self.destination.0);
        true
    }

    /// Whether a message answers one of these: an echo reply from there with the identifier.
    pub(super) fn is_answered_by(&self, source: [u8; 4], icmp: &[u8]) -> bool {
        source == self.destination.0
            && icmp.first_chunk::<8>().is_some_and(|i| i[0] == 0 && [i[4], i[5]] == self.identifier)
    }

    pub(super) fn read(&self, handler: &str) -> String {
        if handler == "src" { self.source.to_string() } else { self.destination.to_string() }
    }

    pub(super) fn write(&mut self, cx: &Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let address = parse(cx, value)?;
        if handler == "src" {
            self.source = address;
        } else {
            self.destination = address;
        }
        Ok(())
    }
}
