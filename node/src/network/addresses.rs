//! The addresses of a network that instances have: a bit each, so that the lowest free one is found without a look at all.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Addresses by the 64 that they are among. IPv4 addresses are mapped ones (RFC 4291, section 2.5.5.2), which are no
/// addresses of hosts.
#[derive(Clone, Debug, Default)]
pub struct Addresses(BTreeMap<u128, u64>);

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn place(address: IpAddr) -> (u128, u64) {
    let bits = bits(address);
    (bits / 64, 1 << (bits % 64))
}

/// The first and the last address of a subnet that a host can have: not the subnet itself, nor all of it (RFC 1122,
/// section 3.2.1.3); in IPv6 not the address that all routers have (RFC 4291, section 2.6.1).
fn hosts(subnet: IpNet) -> (u128, u128) {
    let (first, last) = (bits(subnet.network()), bits(subnet.broadcast()));
    match subnet {
        IpNet::V4(subnet) if subnet.prefix_len() < 31 => (first + 1, last - 1),
        IpNet::V6(subnet) if subnet.prefix_len() < 127 => (first + 1, last),
        _ => (first, last),
    }
}

/// Whether a host of a subnet can have an address, which lies in it.
pub fn is_host(subnet: IpNet, address: IpAddr) -> bool {
    let (first, last) = hosts(subnet);
    (first..=last).contains(&bits(address))
}

impl Addresses {
    /// One more is taken.
    pub fn insert(&mut self, address: IpAddr) {
        let (word, bit) = place(address);
        *self.0.entry(word).or_default() |= bit;
    }

    /// One is free again.
    pub fn remove(&mut self, address: IpAddr) {
        let (word, bit) = place(address);
        if let Some(bits) = self.0.get_mut(&word) {
            *bits &= !bit;
            if *bits == 0 {
                self.0.remove(&word);
            }
        }
    }

    /// Whether one is taken.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (word, bit) = place(address);
        self.0.get(&word).is_some_and(|bits| bits & bit != 0)
    }

    /// The lowest of a subnet's hosts that is neither taken nor reserved.
    pub fn lowest_free(&self, subnet: IpNet, reserved: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let (first, last) = hosts(subnet);
        for word in first / 64..=last / 64 {
            let mut free = !self.0.get(&word).copied().unwrap_or(0);
            while free != 0 {
                let bits = word * 64 + u128::from(free.trailing_zeros());
                free &= free - 1;
                let address = Ipv6Addr::from_bits(bits);
                let address = match subnet {
                    IpNet::V4(_) => IpAddr::V6(address).to_canonical(),
                    IpNet::V6(_) => IpAddr::V6(address),
                };
                if (first..=last).contains(&bits) && !reserved(address) {
                    return Some(address);
                }
            }
        }
        None
    }
}

impl FromIterator<IpAddr> for Addresses {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(all: I) -> Self {
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
        for prefix in [
            "10.0.0.0/29",
            "10.0.0.64/26",
            "10.0.0.0/31",
            "10.0.0.7/32",
            "255.255.255.0/24",
            "fd00::/120",
            "fd00::40/122",
            "fd00::/127",
            "fd00::7/128",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120",
        ] {
            let subnet: IpNet = prefix.parse().unwrap();
            let mut taken = Addresses::default();
            let mut given = Vec::new();
            while let Some(address) = taken.lowest_free(subnet, |_| false) {
                assert!(!taken.contains(address));
                taken.insert(address);
                given.push(address);
            }
            let router =
                (subnet.max_prefix_len() == 128 && subnet.prefix_len() < 127).then(|| subnet.network());
            assert_eq!(given, subnet.hosts().filter(|a| Some(*a) != router).collect::<Vec<_>>(), "{prefix}");
            for &address in given.iter().rev() {
                assert!(is_host(subnet, address));
                taken.remove(address);
                assert_eq!(taken.lowest_free(subnet, |_| false), Some(address));
            }
            assert!(taken.0.is_empty());
        }
    }

    #[test]
    fn reserved_addresses_are_passed_over() {
        let subnet: IpNet = "10.0.0.0/24".parse().unwrap();
        let taken: Addresses = subnet.hosts().take(70).collect();
        let [gateway, next]: [IpAddr; 2] = ["10.0.0.71", "10.0.0.72"].map(|a| a.parse().unwrap());
        assert_eq!(taken.lowest_free(subnet, |a| a == gateway), Some(next));
    }

    #[test]
    fn a_large_subnet_of_one_family_takes_nothing_from_the_other() {
        let mut taken = Addresses::default();
        let (four, six): (IpNet, IpNet) = ("0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap());
        let first = [four, six].map(|subnet| taken.lowest_free(subnet, |_| false).unwrap());
        assert_eq!(first.map(|a| a.to_string()), ["0.0.0.1", "::1"]);
        first.into_iter().for_each(|a| taken.insert(a));
        let next = [four, six].map(|subnet| taken.lowest_free(subnet, |_| false).unwrap());
        assert_eq!(next.map(|a| a.to_string()), ["0.0.0.2", "::2"]);
    }
}
