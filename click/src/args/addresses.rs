//! IPv4, IPv6 and Ethernet addresses, and masks, as Click writes them.

/// The last address of an address's network: its broadcast address.
pub fn last(address: [u8; 4], length: u8) -> [u8; 4] {
    (u32::from_be_bytes(address) | !mask_bits(length)).to_be_bytes()
}

/// The network part of an address.
pub fn mask(address: [u8; 4], length: u8) -> [u8; 4] {
    (u32::from_be_bytes(address) & mask_bits(length)).to_be_bytes()
}

/// The network part of an IPv6 address.
#[inline(never)]
pub fn mask6(address: [u8; 16], length: u8) -> [u8; 16] {
    let bits = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
    (u128::from_be_bytes(address) & bits).to_be_bytes()
}

/// The mask of a prefix length, host order.
pub fn mask_bits(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)
}

pub(super) fn parse_ipv4(text: &str) -> Option<[u8; 4]> {
    text.parse::<core::net::Ipv4Addr>().ok().map(|a| a.octets())
}

pub(super) fn parse_prefix(text: &str) -> Option<([u8; 4], u8)> {
    let (address, length) = text.split_once('/')?;
    // `10/8`: what is left out is 0.
    let mut bytes = address.split('.').map(|part| part.parse::<u8>().ok());
    let mut address = [0; 4];
    for byte in &mut address {
        match bytes.next() {
            Some(part) => *byte = part?,
            None => break,
        }
    }
    if bytes.next().is_some() {
        return None;
    }
    if let Some(m) = parse_ipv4(length) {
        let m = u32::from_be_bytes(m);
        return (m.leading_ones() + m.trailing_zeros() == 32 || m == 0)
            .then_some((address, m.leading_ones() as u8));
    }
    length.parse::<u8>().ok().filter(|&l| l <= 32).map(|l| (address, l))
}

/// An IPv6 address, and the length of its prefix if there is one behind it.
#[inline(never)]
pub(super) fn parse_ipv6(text: &str) -> Option<([u8; 16], Option<u8>)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok().filter(|&l| l <= 128)?)),
        None => (text, None),
    };
    address.parse::<core::net::Ipv6Addr>().ok().map(|a| (a.octets(), length))
}

pub(super) fn parse_ethernet(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|p| (1..=2).contains(&p.len()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
