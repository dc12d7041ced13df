//! Routing tables: the longest prefix wins.

use crate::args::{Names, mask, mask_bits};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Network, host bits zero.
    pub network: u32,
    /// Prefix length.
    pub length: u8,
    /// Next hop; 0.0.0.0: the destination itself.
    pub gateway: [u8; 4],
    /// Output port.
    pub port: usize,
}

/// Routes of one prefix length, sorted by network.
#[derive(Clone, Debug)]
struct Level {
    mask: u32,
    length: u8,
    routes: Vec<Route>,
}

/// A table. Lookup looks once at each prefix length in use, the longest first.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    levels: Vec<Level>,
    highest_port: usize,
}

/// Most routes of a table.
const ROUTES: usize = 1 << 20;

impl Routes {
    /// Reads `ADDRESS/MASK [GATEWAY] OUTPUT`.
    pub fn parse(text: &str, names: &Names) -> Result<Route, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (prefix, gateway, port) = match words[..] {
            [prefix, port] => (prefix, None, port),
            [prefix, gateway, port] => (prefix, Some(gateway).filter(|g| *g != "-"), port),
            _ => return Err(format!("'{text}': expected ADDRESS/MASK [GATEWAY] OUTPUT")),
        };
        let (network, length) = names.prefix(prefix).ok_or_else(|| format!("'{prefix}' is no prefix"))?;
        let gateway = gateway.map(|g| names.ipv4(g).ok_or_else(|| format!("'{g}' is no address"))).transpose()?;
        let port = port.parse().ok().filter(|&p| p < 4096).ok_or_else(|| format!("'{port}' is no output"))?;
        Ok(Route { network: u32::from_be_bytes(network), length, gateway: gateway.unwrap_or([0; 4]), port })
    }

    /// Adds a route, or replaces the one of the same prefix.
    pub fn set(&mut self, route: Route) -> Result<(), String> {
        if self.len() >= ROUTES {
            return Err(format!("more than {ROUTES} routes"));
        }
        self.highest_port = self.highest_port.max(route.port);
        let level = self.levels.partition_point(|l| l.length > route.length);
        if self.levels.get(level).is_none_or(|l| l.length != route.length) {
            let new = Level { mask: mask_bits(route.length), length: route.length, routes: Vec::new() };
            self.levels.insert(level, new);
        }
        let routes = &mut self.levels[level].routes;
        match routes.binary_search_by_key(&route.network, |r| r.network) {
            Ok(at) => routes[at] = route,
            Err(at) => routes.insert(at, route),
        }
        Ok(())
    }

    /// Removes the route of a prefix; whether there was one.
    pub fn remove(&mut self, network: u32, length: u8) -> bool {
        let Some(level) = self.levels.iter_mut().find(|l| l.length == length) else { return false };
        let found = level.routes.binary_search_by_key(&network, |r| r.network);
        if let Ok(at) = found {
            level.routes.remove(at);
        }
        self.levels.retain(|l| !l.routes.is_empty());
        found.is_ok()
    }

    /// The route for an address.
    #[inline]
    pub fn find(&self, address: [u8; 4]) -> Option<&Route> {
        let address = u32::from_be_bytes(address);
        self.levels.iter().find_map(|l| {
            let network = address & l.mask;
            if l.routes.len() <= 8 {
                return l.routes.iter().find(|r| r.network == network);
            }
            l.routes.binary_search_by_key(&network, |r| r.network).ok().map(|at| &l.routes[at])
        })
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.levels.iter().map(|l| l.routes.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// The highest output that a route names.
    pub fn highest_port(&self) -> usize {
        self.highest_port
    }

    /// A line a route.
    pub fn table(&self) -> String {
        let word = |a: [u8; 4]| core::net::Ipv4Addr::from(a).to_string();
        let all = self.levels.iter().flat_map(|l| &l.routes);
        all.map(|r| {
            let gateway = if r.gateway == [0; 4] { "-".to_string() } else { word(r.gateway) };
            format!("{}/{}\t{gateway}\t{}\n", word(r.network.to_be_bytes()), r.length, r.port)
        })
        .collect()
    }

    /// What `lookup` answers: `PORT [GATEWAY]`.
    pub fn lookup(&self, text: &str, names: &Names) -> Result<String, String> {
        let address = names.ipv4(text.trim()).ok_or("expected an IP address")?;
        Ok(self.find(address).map_or("-1".to_string(), |r| {
            let gateway = if r.gateway == [0; 4] { address } else { r.gateway };
            format!("{} {}", r.port, core::net::Ipv4Addr::from(gateway))
        }))
    }

    /// Writes `add`, `set`, `remove` or `flush`.
    pub fn write(&mut self, handler: &str, value: &str, outputs: usize) -> Result<(), String> {
        let names = Names::default();
        match handler {
            "flush" => {
                *self = Self::default();
                Ok(())
            }
            "remove" => {
                let prefix = value.split_whitespace().next().unwrap_or("");
                let (network, length) = names.prefix(prefix).ok_or("expected ADDRESS/MASK")?;
                let removed = self.remove(u32::from_be_bytes(mask(network, length)), length);
                if removed { Ok(()) } else { Err(format!("no route for {prefix}")) }
            }
            _ => {
                let route = Self::parse(value, &names)?;
                if route.port >= outputs {
                    return Err(format!("output {} is not connected", route.port));
                }
                let exists = self.levels.iter().any(|l| {
                    l.length == route.length && l.routes.binary_search_by_key(&route.network, |r| r.network).is_ok()
                });
                if handler == "add" && exists {
                    return Err("there is a route for this prefix; set replaces it".into());
                }
                self.set(route)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let names = Names::default();
        let mut routes = Routes::default();
        for text in ["0.0.0.0/0 9.9.9.9 0", "10.0.0.0/8 1", "10.1.0.0/16 8.8.8.8 2", "10.1.2.3 3"] {
            routes.set(Routes::parse(text, &names).unwrap()).unwrap();
        }
        let port = |a| routes.find(a).unwrap().port;
        assert_eq!([port([1, 2, 3, 4]), port([10, 2, 0, 0]), port([10, 1, 9, 9]), port([10, 1, 2, 3])], [0, 1, 2, 3]);
        assert_eq!(routes.lookup("10.2.0.1", &names).unwrap(), "1 10.2.0.1");
        assert!(routes.remove(0, 0) && routes.find([1, 2, 3, 4]).is_none());
    }
}
