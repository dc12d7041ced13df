//! Names for addresses and ports: those of `AddressInfo`, of `PortInfo` and of devices, by scope.

use super::addresses::{last, mask, mask6, parse_ethernet, parse_ipv4, parse_ipv6, parse_prefix};
use super::numbers::parse_number;
use super::services;
use crate::element::DeviceInfo;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

/// Names for addresses: what `AddressInfo` and the devices define.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// One map for all that a name can mean: each map takes room in guests.
    named: BTreeMap<String, Named>,
    /// Those of the surroundings, for what is not defined here.
    outer: Option<Arc<Names>>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, Default)]
struct Named {
    ipv4: Option<[u8; 4]>,
    prefix: Option<([u8; 4], u8)>,
    ipv6: Option<[u8; 16]>,
    prefix6: Option<([u8; 16], u8)>,
    ethernet: Option<[u8; 6]>,
    port: Option<u16>,
    /// The router behind a device.
    gateway: Option<[u8; 4]>,
}

/// Names as they are known at each place: those of a compound element's inside there, and all of its surroundings.
#[derive(Clone)]
pub(crate) struct NamesByPlace(BTreeMap<String, Arc<Names>>);

impl NamesByPlace {
    /// Those known everywhere.
    pub(crate) fn new(everywhere: Names) -> Self {
        Self(BTreeMap::from([(String::new(), Arc::new(everywhere))]))
    }

    /// The compound that an element stands in.
    fn place(element: &str) -> &str {
        element.rsplit_once('/').map_or("", |(place, _)| place)
    }

    /// Names that an element knows.
    pub(crate) fn of(&self, element: &str) -> &Arc<Names> {
        let mut place = Self::place(element);
        loop {
            match self.0.get(place) {
                Some(names) => return names,
                None => place = Self::place(place),
            }
        }
    }

    /// Does something to the names that are defined where an element stands. Those of its surroundings must all be there.
    pub(crate) fn define<R>(&mut self, element: &str, define: impl FnOnce(&mut Names) -> R) -> R {
        let place = Self::place(element);
        let mut names = match self.0.remove(place) {
            Some(names) => Arc::unwrap_or_clone(names),
            None => Names { outer: Some(self.of(element).clone()), ..Names::default() },
        };
        let result = define(&mut names);
        self.0.insert(place.to_string(), Arc::new(names));
        result
    }
}

impl Names {
    /// What a name means here, or in the surroundings.
    fn find<T>(&self, name: &str, meaning: fn(&Named) -> Option<T>) -> Option<T> {
        let mut names = self;
        loop {
            match (names.named.get(name).and_then(meaning), &names.outer) {
                (None, Some(outer)) => names = outer,
                (value, _) => return value,
            }
        }
    }

    /// What a name stands for here.
    #[inline(never)]
    fn here(&mut self, name: &str) -> &mut Named {
        self.named.entry(name.to_string()).or_default()
    }

    /// Defines a device's addresses under its name.
    pub fn device(&mut self, name: &str, facts: &DeviceInfo) {
        let named = self.here(name);
        named.ethernet = Some(facts.mac);
        named.gateway = facts.gateway.or(named.gateway);
        if let Some((address, length)) = facts.ipv4 {
            named.ipv4 = Some(address);
            named.prefix = Some((mask(address, length), length));
        }
        if let Some((address, length)) = facts.ipv6 {
            named.ipv6 = Some(address);
            named.prefix6 = Some((mask6(address, length), length));
        }
    }

    /// Defines one more address for a name, as `AddressInfo` writes it.
    pub fn define(&mut self, name: &str, text: &str) -> Result<(), String> {
        if let Some(mac) = parse_ethernet(text) {
            self.here(name).ethernet = Some(mac);
        } else if let Some(address) = parse_ipv4(text) {
            self.here(name).ipv4 = Some(address);
        } else if let Some((address, length)) = parse_prefix(text) {
            let named = self.here(name);
            if mask(address, length) != address {
                named.ipv4 = Some(address);
            }
            named.prefix = Some((mask(address, length), length));
        } else if let Some((address, length)) = parse_ipv6(text) {
            let named = self.here(name);
            let network = length.map(|length| (mask6(address, length), length));
            if network.is_none_or(|(network, _)| network != address) {
                named.ipv6 = Some(address);
            }
            named.prefix6 = network.or(named.prefix6);
        } else {
            return Err(format!("\"{text}\" is not an address"));
        }
        Ok(())
    }

    /// Defines a port, as an argument of `PortInfo` writes it, and a line of services(5): `NAME PORT`,
    /// `NAME PORT/tcp OTHER_NAME... # comment`.
    pub fn define_port(&mut self, argument: &str) -> Result<(), String> {
        let text = argument.split('#').next().unwrap_or("");
        let mut words = text.split_whitespace();
        let Some(name) = words.next() else { return Ok(()) };
        let port = words.next().and_then(|port| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let number = parse_number(number)?.try_into().ok()?;
            ["tcp", "udp"].contains(&protocol).then_some(number)
        });
        let number = port.ok_or_else(|| format!("expected 'NAME PORT', not '{argument}'"))?;
        for name in core::iter::once(name).chain(words) {
            self.here(name).port = Some(number);
        }
        Ok(())
    }

    /// The port of a name: of a `PortInfo`, or of a well-known service.
    pub fn port(&self, name: &str) -> Option<u16> {
        let known = || services::PORTS.iter().find(|(service, _)| *service == name);
        self.find(name, |n| n.port).or_else(|| known().and_then(|(_, port)| (*port).try_into().ok()))
    }

    /// Defines the addresses of one argument of `AddressInfo`: `NAME ADDRESS ...`.
    pub fn define_all(&mut self, argument: &str) -> Result<(), String> {
        let mut words = argument.split_whitespace();
        let name = words.next().unwrap_or("");
        let mut any = false;
        for word in words {
            // An address can be another one's name, device's included.
            let other = [":ip", ":ipnet", ":ip6", ":ip6net"].iter().any(|kind| word.ends_with(kind));
            let ethernet = self.ethernet(word).filter(|_| !other);
            match (ethernet, self.find(word.trim_end_matches(":ip"), |n| n.ipv4)) {
                _ if self.define(name, word).is_ok() => {}
                (None, Some(address)) => self.here(name).ipv4 = Some(address),
                (Some(mac), _) => self.here(name).ethernet = Some(mac),
                (None, None) if let Some(address) = self.ipv6(word) => self.here(name).ipv6 = Some(address),
                _ => return Err(format!("'{word}' is not an address")),
            }
            any = true;
        }
        if any { Ok(()) } else { Err(format!("expected 'NAME ADDRESS...', not '{argument}'")) }
    }

    /// An IPv4 address, literal or by name (`name`, `name:ip`; `name:bcast`: the last of the name's network; `name:gw`: the
    /// router behind a device).
    #[inline(never)]
    pub fn ipv4(&self, text: &str) -> Option<[u8; 4]> {
        if let Some(name) = text.strip_suffix(":bcast") {
            return self.find(name, |n| n.prefix).map(|(address, length)| last(address, length));
        }
        if let Some(name) = text.strip_suffix(":gw") {
            return self.find(name, |n| n.gateway);
        }
        let name = text.strip_suffix(":ip").or_else(|| text.strip_suffix(":ip4")).unwrap_or(text);
        parse_ipv4(text).or_else(|| self.find(name, |n| n.ipv4))
    }

    /// An IPv4 prefix, literal or by name (`name`, `name:ipnet`).
    #[inline(never)]
    pub fn prefix(&self, text: &str) -> Option<([u8; 4], u8)> {
        let name = text.strip_suffix(":ipnet").unwrap_or(text);
        let host = || self.ipv4(text).map(|a| (a, 32));
        if let Some((address, length)) = text.rsplit_once('/')
            && let (Some(a), Ok(l)) = (self.ipv4(address), length.parse::<u8>())
        {
            return (l <= 32).then_some((mask(a, l), l));
        }
        let named = self.find(name, |n| n.prefix);
        parse_prefix(text)
            .map(|(a, l)| (mask(a, l), l))
            .or_else(|| if text.ends_with(":ipnet") { named } else { host().or(named) })
    }

    /// An IPv6 address, literal or by name (`name`, `name:ip6`).
    #[inline(never)]
    pub fn ipv6(&self, text: &str) -> Option<[u8; 16]> {
        match parse_ipv6(text) {
            Some((address, None)) => Some(address),
            Some(_) => None,
            None => self.find(text.strip_suffix(":ip6").unwrap_or(text), |n| n.ipv6),
        }
    }

    /// An IPv6 prefix, literal or by name (`name`, `name:ip6net`); an address is a prefix of 128 bits.
    #[inline(never)]
    pub fn prefix6(&self, text: &str) -> Option<([u8; 16], u8)> {
        if let Some((address, length)) = text.rsplit_once('/') {
            let length = length.parse::<u8>().ok().filter(|&l| l <= 128)?;
            return self.ipv6(address).map(|address| (mask6(address, length), length));
        }
        let name = text.strip_suffix(":ip6net");
        match self.ipv6(text).filter(|_| name.is_none()) {
            Some(address) => Some((address, 128)),
            None => self.find(name.unwrap_or(text), |n| n.prefix6),
        }
    }

    /// An Ethernet address, literal or by name (`name`, `name:eth`).
    #[inline(never)]
    pub fn ethernet(&self, text: &str) -> Option<[u8; 6]> {
        let name = text.strip_suffix(":eth").unwrap_or(text);
        parse_ethernet(text).or_else(|| self.find(name, |n| n.ethernet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_addresses() {
        let mut names = Names::default();
        names.device(
            "eth0",
            &DeviceInfo {
                mac: [2, 0, 0, 0, 0, 1],
                ipv4: Some(([10, 0, 0, 1], 24)),
                ipv6: Some(("fd00::1".parse::<core::net::Ipv6Addr>().unwrap().octets(), 64)),
                gateway: None,
            },
        );
        assert_eq!(names.ipv4("eth0:ip"), Some([10, 0, 0, 1]));
        assert_eq!(names.prefix("eth0:ipnet"), Some(([10, 0, 0, 0], 24)));
        assert_eq!(names.prefix("10/8"), Some(([10, 0, 0, 0], 8)));
        assert_eq!(names.prefix("10.1.2.3/255.255.0.0"), Some(([10, 1, 0, 0], 16)));
        assert_eq!(names.ethernet("eth0"), Some([2, 0, 0, 0, 0, 1]));
        let six = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets();
        assert_eq!(names.ipv6("eth0:ip6"), Some(six("fd00::1")));
        assert_eq!(names.prefix6("eth0:ip6net"), Some((six("fd00::"), 64)));
        assert_eq!(names.prefix6("fd00::1/120"), Some((six("fd00::"), 120)));
        assert_eq!(names.prefix6("fd00::1/129"), None);
        names.define_all("router fe80::1 fd00::7/64 10.0.0.9").unwrap();
        assert_eq!(names.ipv6("router"), Some(six("fd00::7")), "the last counts");
        assert_eq!(
            (names.ipv4("router"), names.prefix6("router:ip6net")),
            (Some([10, 0, 0, 9]), Some((six("fd00::"), 64)))
        );
        names.define_all("same eth0:ip6").unwrap();
        assert_eq!((names.ipv6("same"), names.ethernet("same")), (Some(six("fd00::1")), None));
    }
}
