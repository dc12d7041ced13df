use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, checksum};
use crate::packet::{Batch, Packet};

/// Flags of a header: it has a checksum, a key, a sequence number.
pub(super) const CHECKSUM: u8 = 0x80;
pub(super) const KEY: u8 = 0x20;
pub(super) const SEQUENCE: u8 = 0x10;
/// Ethernet frames inside (RFC 7637 uses the same number).
pub(super) const BRIDGED: u16 = 0x6558;

crate::element! {
    /// Puts GRE headers in front of packets (RFC 2784, RFC 2890).
    ///
    /// An IP header goes in front of that: `GREEncap -> IPEncap(gre, SRC, DST)`.
    ///
    /// # Arguments
    /// `PROTOCOL`: the EtherType of what is inside, 0x6558 for Ethernet frames; without it, that of IPv4 or IPv6, by the
    /// packet's first bits, and others are dropped. `KEY`: which of several tunnels, a number. `SEQUENCE` (false): number
    /// packets. `CHECKSUM` (false): with a checksum.
    GREEncap "1/1" "a/a"
    keywords ["PROTOCOL", "KEY", "SEQUENCE", "CHECKSUM"]
    { protocol: Option<u16>, key: Option<u32>, sequence: Option<u32>, checksum: bool }
}

impl GREEncap {
    fn new(args: &mut Args<'_>) -> Self {
        let protocol = args.next("PROTOCOL");
        let key = args.key("KEY");
        let sequence = args.key("SEQUENCE").unwrap_or(false).then_some(0);
        Self { protocol, key, sequence, checksum: args.key("CHECKSUM").unwrap_or(false) }
    }

    fn encapsulate(&mut self, packet: &mut Packet) -> Option<()> {
        let protocol = match (self.protocol, packet.data().first()? >> 4) {
            (Some(protocol), _) => protocol,
            (None, 4) => ETHERTYPE_IPV4,
            (None, 6) => ETHERTYPE_IPV6,
            _ => return None,
        };
        let words = [self.checksum, self.key.is_some(), self.sequence.is_some()];
        packet.push(4 + 4 * words.iter().filter(|&&there| there).count())?;
        let data = packet.data_mut();
        let [high, low] = protocol.to_be_bytes();
        data[..4].copy_from_slice(&[0, 0, high, low]);
        let mut at = 4;
        if self.checksum {
            data[0] |= CHECKSUM;
            data[at..at + 4].fill(0);
            at += 4;
        }
        if let Some(key) = self.key {
            data[0] |= KEY;
            data[at..at + 4].copy_from_slice(&key.to_be_bytes());
            at += 4;
        }
        if let Some(number) = &mut self.sequence {
            data[0] |= SEQUENCE;
            data[at..at + 4].copy_from_slice(&number.to_be_bytes());
            *number = number.wrapping_add(1);
        }
        if self.checksum {
            let sum = checksum(data);
            data[4..6].copy_from_slice(&sum);
        }
        Some(())
    }
}

impl Element for GREEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.encapsulate(packet).is_some(), drop);
    }
}
