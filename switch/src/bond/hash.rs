//! The hash that spreads flows over links: all packets of a flow have the same.

use super::Spread;
use crate::headers::ip::Layout;

#[inline]
fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
    }
    hash
}

/// The hash of a packet without tag, from its first bytes.
#[inline]
pub fn of(head: &[u8], spread: Spread) -> u8 {
    let layout = Layout::of(head);
    let hash = match (spread, layout) {
        (Spread::Layer34, Some(ip)) => {
            let (source, destination) = ip.addresses(head);
            let hash = mix(mix(u64::from(ip.protocol), source), destination);
            ip.ports(head).map_or(hash, |ports| mix(hash, ports))
        }
        (_, Some(ip)) => {
            let (source, destination) = ip.addresses(head);
            mix(mix(mix(1, head.get(..12).unwrap_or_default()), source), destination)
        }
        (_, None) => mix(2, head.get(..12).unwrap_or_default()),
    };
    (hash >> 40) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(port: u16) -> Vec<u8> {
        let mut p = vec![2; 12];
        p.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        p.extend(port.to_be_bytes());
        p.extend([0; 18]);
        p
    }

    #[test]
    fn all_fragments_of_a_packet_take_the_same_link() {
        // More fragments follow; the second one has an offset, and payload where ports would be.
        let (mut first, mut second) = (packet(1000), packet(2000));
        first[20] = 0x20;
        second[21] = 100;
        for spread in [Spread::Layer23, Spread::Layer34] {
            assert_eq!(of(&first, spread), of(&second, spread));
        }
    }

    #[test]
    fn flows_spread_by_their_ports_only_where_asked() {
        let hashes =
            |spread| (1000..1256).map(|p| of(&packet(p), spread)).collect::<std::collections::BTreeSet<_>>();
        assert!(hashes(Spread::Layer34).len() > 120);
        assert_eq!(hashes(Spread::Layer23).len(), 1);
    }
}
