//! What contradicts itself, found before anything is changed.

use super::pair::MAX_PAIRS;
use super::{AnnouncedConfig, BOND_LINKS, BondMode, Config, DeviceConfig, Polling, PortConfig};
use crate::mac::Mac;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

/// Most ports of a switch.
pub const PORTS: usize = 16384;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Contradiction {
    /// Such as `ports.vm1`.
    pub place: String,
    /// In words.
    pub problem: String,
}

fn wrong<T>(place: impl Into<String>, problem: impl Into<String>) -> Result<T, Contradiction> {
    Err(Contradiction { place: place.into(), problem: problem.into() })
}

/// Two ports have one Ethernet address.
pub fn mac_taken<T>(port: &str, other: &str, mac: Mac) -> Result<T, Contradiction> {
    wrong(format!("ports.{port}"), format!("port {other} has mac {mac} already"))
}

/// Two ports have one IP address.
pub fn address_taken<T>(port: &str, other: &str, address: IpAddr) -> Result<T, Contradiction> {
    wrong(format!("ports.{port}"), format!("port {other} has {address} already"))
}

/// Two ports are at one socket.
pub fn socket_taken<T>(port: &str, other: &str, socket: &Path) -> Result<T, Contradiction> {
    wrong(format!("ports.{port}"), format!("socket {} belongs to port {other} already", socket.display()))
}

/// A segment joins two ports and has another.
pub fn point_to_point_full<T>(segment: &str, count: usize) -> Result<T, Contradiction> {
    wrong(format!("segments.{segment}"), format!("point-to-point, and has {count} ports"))
}

/// There is room for no port more.
pub fn too_many<T>() -> Result<T, Contradiction> {
    wrong("ports", format!("there are more than {PORTS}"))
}

impl Config {
    /// Finds the first contradiction.
    pub fn check(&self) -> Result<(), Contradiction> {
        let s = &self.switch;
        if !(1..=64).contains(&s.threads) {
            return wrong("switch.threads", "must be 1 to 64");
        }
        // Asked for only where it matters: the answer takes reading several files.
        let cpus = if s.polling == Polling::Always {
            available_parallelism().map_or(1, NonZero::get)
        } else {
            usize::MAX
        };
        if s.threads >= cpus {
            let least = "at least one must be left to guests and the host: let it be \"adaptive\", or have fewer threads";
            return wrong("switch.polling", format!("always takes {} CPUs of {cpus}; {least}", s.threads));
        }
        if !(16..=1 << 24).contains(&s.addresses) {
            return wrong("switch.addresses", "must be 16 to 16777216");
        }
        if self.ports.len() > PORTS {
            return too_many();
        }
        let links = self.links()?;
        let mut members: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, port) in &self.ports {
            self.check_port(name, port, links.contains_key(name.as_str()))?;
            for segment in port.segment.iter().chain(port.trunk.values()) {
                *members.entry(segment).or_default() += 1;
            }
        }
        for (name, segment) in &self.segments {
            let count = members.get(name.as_str()).copied().unwrap_or(0);
            if segment.point_to_point && count > 2 {
                return point_to_point_full(name, count);
            }
        }
        self.check_announced()?;
        self.check_addresses()?;
        self.check_places()
    }

    /// The bond of each link.
    fn links(&self) -> Result<BTreeMap<&str, &str>, Contradiction> {
        let mut links = BTreeMap::new();
        for (name, port) in &self.ports {
            let DeviceConfig::Bond(bond) = &port.device else { continue };
            let place = format!("ports.{name}.device.bond");
            if bond.links.is_empty() || bond.links.len() > BOND_LINKS {
                return wrong(place, format!("has {} links, must have 1 to {BOND_LINKS}", bond.links.len()));
            }
            if !(1..=bond.links.len()).contains(&bond.min_links) {
                return wrong(
                    place,
                    format!("min-links must be 1 to {}, its number of links", bond.links.len()),
                );
            }
            if bond.system_id.is_some_and(|id| id.is_group() || id == crate::mac::Mac::ZERO) {
                return wrong(place, "system-id must be the address of one system");
            }
            if bond.mode != BondMode::Lacp
                && (bond.lacp_fallback || bond.system_id.is_some() || bond.system_priority != u16::MAX)
            {
                return wrong(place, "lacp-fallback, system-id and system-priority need mode 802.3ad");
            }
            if let Some(p) = &bond.primary
                && !bond.links.contains(p)
            {
                return wrong(place, format!("the primary {p} is none of its links"));
            }
            for link in &bond.links {
                match self.ports.get(link) {
                    None => return wrong(place, format!("there is no port {link}")),
                    Some(l) if matches!(l.device, DeviceConfig::Bond(_)) => {
                        return wrong(place, format!("its link {link} is a bond itself"));
                    }
                    Some(l) if l.segment.is_some() || !l.trunk.is_empty() || l.mac.is_some() => {
                        return wrong(
                            format!("ports.{link}"),
                            format!("is a link of {name}: segments and addresses belong there"),
                        );
                    }
                    Some(_) => {}
                }
                if let Some(other) = links.insert(link.as_str(), name.as_str()) {
                    return wrong(place, format!("its link {link} is a link of {other} already"));
                }
            }
        }
        Ok(links)
    }

    /// Whether a port contradicts itself, or what it names. `is_link`: of a bond.
    pub fn check_port(&self, name: &str, port: &PortConfig, is_link: bool) -> Result<(), Contradiction> {
        let place = || format!("ports.{name}");
        if name.is_empty() || name.len() > 64 || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return wrong(place(), "a name has 1 to 64 characters and no blanks");
        }
        for segment in port.segment.iter().chain(port.trunk.values()) {
            if !self.segments.contains_key(segment) {
                return wrong(place(), format!("there is no segment {segment}"));
            }
        }
        let mut seen = BTreeSet::new();
        for segment in port.segment.iter().chain(port.trunk.values()) {
            if !seen.insert(segment) {
                return wrong(place(), format!("is in segment {segment} twice"));
            }
        }
        if port.mtu < 68 {
            return wrong(place(), "mtu must be 68 to 65535");
        }
        if port.anti_spoofing && port.mac.is_none() {
            return wrong(place(), "anti-spoofing needs mac");
        }
        if port.mac.is_some_and(|m| m.is_group()) {
            return wrong(place(), "mac is a group address");
        }
        if !port.addresses.is_empty() && port.mac.is_none() {
            return wrong(place(), "addresses need mac");
        }
        if !port.allowed_address_pairs.is_empty() && !port.anti_spoofing {
            return wrong(place(), "allowed-address-pairs go with anti-spoofing");
        }
        if port.allowed_address_pairs.len() > MAX_PAIRS {
            return wrong(place(), format!("has more than {MAX_PAIRS} allowed-address-pairs"));
        }
        if let Some(pair) = port.allowed_address_pairs.iter().find(|p| p.mac.is_some_and(|m| m.is_group())) {
            return wrong(place(), format!("allowed-address-pairs: {pair} has a group address"));
        }
        if let Some(mirror) = &port.mirror {
            match self.ports.get(mirror) {
                None => return wrong(place(), format!("there is no port {mirror} to mirror to")),
                Some(_) if mirror == name => return wrong(place(), "mirrors to itself"),
                Some(m) if m.mirror.is_some() || matches!(m.device, DeviceConfig::Bond(_)) => {
                    return wrong(
                        place(),
                        format!("{mirror} cannot be mirrored to: it is a bond or mirrored itself"),
                    );
                }
                Some(_) => {}
            }
        }
        if port.thread.is_some_and(|t| t >= self.switch.threads) {
            return wrong(place(), format!("there are only {} threads", self.switch.threads));
        }
        for (what, limit) in [("limit-in", port.limit_in), ("limit-out", port.limit_out)] {
            let Some(limit) = limit else { continue };
            let rates = [limit.mbit, limit.kpps];
            if rates.iter().flatten().any(|r| !(*r > 0.0 && *r < 1e9)) || rates == [None, None] {
                return wrong(format!("ports.{name}.{what}"), "needs mbit or kpps, more than 0");
            }
        }
        match &port.device {
            DeviceConfig::Pcap { read: None, write: None } => {
                wrong(place(), "a pcap port needs read or write")
            }
            DeviceConfig::Bond(_) if port.thread.is_some() => {
                wrong(place(), "a bond runs where its links run")
            }
            DeviceConfig::Bond(_) if port.limit_in.is_some() || port.limit_out.is_some() => {
                wrong(place(), "limits belong to the links of a bond")
            }
            _ if is_link && port.mirror.is_some() => wrong(place(), "mirror the bond, not its links"),
            _ => Ok(()),
        }
    }

    fn check_announced(&self) -> Result<(), Contradiction> {
        let mut seen = BTreeSet::new();
        for (name, a) in &self.announced {
            self.check_announced_address(name, a, !seen.insert((&a.segment, a.mac)))?;
        }
        Ok(())
    }

    /// Whether an announced address contradicts itself, or what it names. `is_taken`: it is announced already.
    pub fn check_announced_address(
        &self,
        name: &str,
        a: &AnnouncedConfig,
        is_taken: bool,
    ) -> Result<(), Contradiction> {
        let place = || format!("announced.{name}");
        match self.segments.get(&a.segment) {
            None => return wrong(place(), format!("there is no segment {}", a.segment)),
            Some(s) if s.point_to_point => {
                return wrong(place(), format!("segment {} is point-to-point", a.segment));
            }
            Some(_) => {}
        }
        if a.mac.is_group() || is_taken {
            return wrong(place(), "its mac is a group address, or announced already");
        }
        if !(1..=4096).contains(&a.packets) || a.time_ms > 60_000 {
            return wrong(place(), "packets must be 1 to 4096, time-ms up to 60000");
        }
        Ok(())
    }

    /// An address belongs to one station of a segment.
    fn check_addresses(&self) -> Result<(), Contradiction> {
        let mut macs = HashMap::new();
        let mut addresses = HashMap::new();
        for (name, port) in &self.ports {
            for segment in port.segment.iter().chain(port.trunk.values()) {
                if let Some(mac) = port.mac
                    && let Some(other) = macs.insert((segment, mac), name)
                {
                    return mac_taken(name, other, mac);
                }
                for address in &port.addresses {
                    if let Some(other) = addresses.insert((segment, *address), name) {
                        return address_taken(name, other, *address);
                    }
                }
            }
        }
        Ok(())
    }

    /// Two ports cannot be the same thing.
    fn check_places(&self) -> Result<(), Contradiction> {
        let mut places = HashMap::new();
        for (name, port) in &self.ports {
            let (kind, what, netns, queue): (&str, &OsStr, &Option<String>, u32) = match &port.device {
                DeviceConfig::VhostUser { path, .. } => ("socket", path.as_os_str(), &None, 0),
                DeviceConfig::Tap { name, netns } => ("TAP", name.as_ref(), netns, 0),
                DeviceConfig::Packet { interface, netns } => ("interface", interface.as_ref(), netns, 0),
                DeviceConfig::Xdp { interface, netns, queue } => ("queue", interface.as_ref(), netns, *queue),
                DeviceConfig::Pcap { .. } | DeviceConfig::Bond(_) => continue,
            };
            if let Some(other) = places.insert((kind, what, netns, queue), name) {
                let (what, space) = (what.to_string_lossy(), netns.as_deref().unwrap_or("this namespace"));
                let what = match kind {
                    "socket" => format!("socket {what}"),
                    "queue" => format!("queue {queue} of interface {what} of {space}"),
                    kind => format!("{kind} {what} of {space}"),
                };
                return wrong(format!("ports.{name}"), format!("{what} belongs to port {other} already"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn contradictions_are_found() {
        let tap = |name: &str, rest: &str| {
            format!("[ports.{name}]\ndevice = {{ tap = {{ name = \"{name}\" }} }}\n{rest}\n")
        };
        let a = "[segments.a]\n";
        let wire = "[segments.a]\npoint-to-point = true\n";
        let s = "segment = \"a\"";
        let bond = "[ports.b]\ndevice = { bond = { links = [\"x\"], mode = \"broadcast\" } }\n";
        for (text, problem) in [
            (tap("x", s), "no segment a"),
            (format!("{wire}{}{}{}", tap("x", s), tap("y", s), tap("z", s)), "has 3 ports"),
            (bond.to_owned(), "no port x"),
            (bond.replace(" } }", ", min-links = 2 } }"), "min-links"),
            (bond.replace(" } }", ", min-links = 0 } }"), "min-links"),
            (bond.replace(" } }", ", lacp-fallback = true } }"), "802.3ad"),
            (bond.replace("broadcast\"", "802.3ad\", system-id = \"01:00:00:00:00:00\""), "one system"),
            (format!("{a}{bond}{}", tap("x", s)), "belong there"),
            (tap("x", "anti-spoofing = true"), "needs mac"),
            (tap("x", "allowed-address-pairs = [{ address = \"10.0.0.9\" }]"), "anti-spoofing"),
            (tap("x", "mac = \"01:00:00:00:00:00\""), "group address"),
            (tap("x", "mirror = \"x\""), "itself"),
            (tap("x", "thread = 3"), "only 1 threads"),
            (tap("x", "limit-in = { mbit = 0 }"), "more than 0"),
            (tap("x", "mtu = 20"), "68"),
            (format!("{a}[announced.q]\nsegment = \"b\"\nmac = \"02:00:00:00:00:01\""), "no segment b"),
            ("[switch]\nthreads = 0".to_owned(), "1 to 64"),
            ("[switch]\nthreads = 64\npolling = \"always\"".to_owned(), "takes 64 CPUs of"),
        ] {
            let found = Config::from_toml(&text).unwrap().check().unwrap_err().to_string();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }
}
