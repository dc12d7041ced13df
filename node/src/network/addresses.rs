//! The addresses of a network that instances have: a bit each, so that the lowest free one is found without a look at all.

use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Addresses by the 64 that they are among.
#[derive(Clone, Debug, Default)]
pub struct Addresses(BTreeMap<u32, u64>);

fn place(address: Ipv4Addr) -> (u32, u64) {
    let bits = address.to_bits();
    (bits / 64, 1 << (bits % 64))
}

impl Addresses {
    /// One more is taken.
    pub fn insert(&mut self, address: Ipv4Addr) {
        let (word, bit) = place(address);
        *self.0.entry(word).or_default() |= bit;
    }

    /// One is free again.
    pub fn remove(&mut self, address: Ipv4Addr) {
        let (word, bit) = place(address);
        if let Some(bits) = self.0.get_mut(&word) {
            *bits &= !bit;
            if *bits == 0 {
                self.0.remove(&word);
            }
        }
    }

    /// Whether one is taken.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let (word, bit) = place(address);
        self.0.get(&word).is_some_and(|bits| bits & bit != 0)
    }

    /// The lowest of a subnet's hosts that is neither taken nor reserved.
    pub fn lowest_free(&self, subnet: Ipv4Net, reserved: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        let (mut first, mut last) = (subnet.network().to_bits(), subnet.broadcast().to_bits());
        if subnet.prefix_len() < 31 {
            (first, last) = (first + 1, last - 1);
        }
        for word in first / 64..=last / 64 {
            let mut free = !self.0.get(&word).copied().unwrap_or(0);
            while free != 0 {
                let bits = word * 64 + free.trailing_zeros();
                free &= free - 1;
                let address = Ipv4Addr::from_bits(bits);
                if (first..=last).contains(&bits) && !reserved(address) {
                    return Some(address);
                }
            }
        }
        None
    }
}

impl FromIterator<Ipv4Addr> for Addresses {
    fn from_iter<I: IntoIterator<Item = Ipv4Addr>>(all: I) -> Self {
        let mut addresses = Self::default();
        all.into_iter().for_each(|address| addresses.insert(address));
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_address_is_found_whatever_is_given_back() {
        for prefix in ["10.0.0.0/29", "10.0.0.64/26", "10.0.0.0/31", "10.0.0.7/32", "255.255.255.0/24"] {
            let subnet: Ipv4Net = prefix.parse().unwrap();
            let mut taken = Addresses::default();
            let mut given = Vec::new();
            while let Some(address) = taken.lowest_free(subnet, |_| false) {
                assert!(!taken.contains(address));
                taken.insert(address);
                given.push(address);
            }
            assert_eq!(given, subnet.hosts().collect::<Vec<_>>(), "{prefix}");
            for &address in given.iter().rev() {
                taken.remove(address);
                assert_eq!(taken.lowest_free(subnet, |_| false), Some(address));
            }
            assert!(taken.0.is_empty());
        }
    }

    #[test]
    fn reserved_addresses_are_passed_over() {
        let subnet: Ipv4Net = "10.0.0.0/24".parse().unwrap();
        let taken: Addresses = subnet.hosts().take(70).collect();
        let gateway = Ipv4Addr::new(10, 0, 0, 71);
        assert_eq!(taken.lowest_free(subnet, |a| a == gateway), Some(Ipv4Addr::new(10, 0, 0, 72)));
    }
}
