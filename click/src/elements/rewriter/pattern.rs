//! Patterns: what new flows are rewritten to.

use super::flow::{FlowId, Kind};
use super::table::Table;
use crate::args::{Ipv4, Names, mask_bits, parse_number};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

/// Ports or addresses tried for one new flow. A range can be larger; the next flow begins where this one gave up.
const TRIES: u32 = 4096;

/// `SADDR SPORT DADDR DPORT`, or `SADDR DADDR`; what is a dash stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    source: Option<u32>,
    sport: Option<u16>,
    destination: Option<[u8; 4]>,
    dport: Option<u16>,
    /// Ports are written, so they vary; otherwise source addresses do.
    with_ports: bool,
    /// How far from the first port or address others may lie.
    variation: u32,
    order: Order,
    /// Where the next flow begins, for all who use the pattern.
    next: Next,
}

/// A place in a range, the same one for all copies.
#[derive(Clone, Debug, Default)]
struct Next(Arc<AtomicU32>);

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.0.load(Ordering::Relaxed) == other.0.load(Ordering::Relaxed)
    }
}

impl Eq for Next {}

/// Which of a range is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    /// The packet's own if it is free, otherwise any.
    #[default]
    SameFirst,
    /// One after the other.
    Sequential,
    /// Any.
    Random,
}

fn order(text: &str) -> (&str, Order) {
    match (text.strip_suffix('#'), text.strip_suffix('?')) {
        (Some(rest), _) => (rest, Order::Sequential),
        (_, Some(rest)) => (rest, Order::Random),
        _ => (text, Order::SameFirst),
    }
}

fn port(text: &str) -> Option<u16> {
    parse_number(text).and_then(|n| u16::try_from(n).ok())
}

impl Pattern {
    /// Two words, three (`SADDR DADDR SPORT`, as old files have it), or four.
    pub(super) fn parse(words: &[&str], names: &Names) -> Result<Self, String> {
        let mut pattern = Self::default();
        match *words {
            [source, destination] => {
                pattern.set_source(source, names)?;
                pattern.set_destination(destination, names)?;
            }
            [source, destination, sport] => {
                pattern.set_source(source, names)?;
                pattern.set_sport(sport)?;
                pattern.set_destination(destination, names)?;
            }
            [source, sport, destination, dport] => {
                pattern.set_source(source, names)?;
                pattern.set_sport(sport)?;
                pattern.set_destination(destination, names)?;
                pattern.dport = match dport {
                    "-" => None,
                    text => Some(port(text).filter(|&p| p > 0).ok_or("bad destination port")?),
                };
            }
            _ => return Err("syntax error, expected 'SADDR SPORT DADDR DPORT'".to_string()),
        }
        pattern.with_ports = words.len() > 2;
        Ok(pattern)
    }

    fn set_source(&mut self, text: &str, names: &Names) -> Result<(), String> {
        if text == "-" {
            return Ok(());
        }
        let (range, order) = order(text);
        let address = |text: &str| names.ipv4(text).map(u32::from_be_bytes);
        if let Some(one) = address(text) {
            self.source = Some(one);
        } else if let Some((low, high)) = range.split_once('-')
            && let (Some(low), Some(high)) = (address(low), address(high))
            && low <= high
        {
            (self.source, self.variation, self.order) = (Some(low), high - low, order);
        } else if let Some((network, length)) = names.prefix(range).filter(|p| p.1 > 0) {
            let (first, size) = (u32::from_be_bytes(network), !mask_bits(length));
            // The network itself and its broadcast address are nobody's.
            let ends = u32::from(length < 31);
            (self.source, self.variation, self.order) = (Some(first + ends), size - 2 * ends, order);
        } else {
            return Err("bad source address".to_string());
        }
        Ok(())
    }

    fn set_sport(&mut self, text: &str) -> Result<(), String> {
        if text == "-" {
            return Ok(());
        }
        let (range, order) = order(text);
        if let Some(one) = port(text).filter(|&p| p > 0) {
            self.sport = Some(one);
            return Ok(());
        }
        let ends = range.split_once('-').and_then(|(low, high)| Some((port(low)?, port(high)?)));
        let (low, high) = ends.filter(|(low, high)| low <= high).ok_or("bad source port")?;
        (self.sport, self.variation, self.order) = (Some(low), u32::from(high - low), order);
        Ok(())
    }

    fn set_destination(&mut self, text: &str, names: &Names) -> Result<(), String> {
        if text != "-" {
            self.destination = Some(names.ipv4(text).ok_or("bad destination address")?);
        }
        Ok(())
    }

    /// What a flow is rewritten to, so that its answers look like no others'. `None`: there is nothing left.
    pub(super) fn choose(&mut self, kind: Kind, flow: FlowId, table: &Table, random: u64) -> Option<FlowId> {
        let (mut source, mut destination) = (flow.source(), flow.destination());
        source.0 = self.source.map_or(source.0, u32::to_be_bytes);
        if kind != Kind::Address {
            destination.0 = self.destination.unwrap_or(destination.0);
        }
        let ports = !matches!(kind, Kind::Address | Kind::Addresses);
        if ports {
            source.1 = self.sport.unwrap_or(source.1);
        }
        if ports && kind != Kind::Ping {
            destination.1 = self.dport.unwrap_or(destination.1);
        }
        let id = |source| FlowId::new(source, destination, flow.protocol());
        let free = |source| {
            let id = id(source);
            table.find(id.reverse()).is_none().then_some(id)
        };
        // Ports vary where they are written, and looked at.
        if self.variation == 0 || (self.with_ports && !ports) {
            return Some(id(source));
        }
        let base = if self.with_ports { u32::from(source.1) } else { u32::from_be_bytes(source.0) };
        let at = |by: u32| match self.with_ports {
            true => (source.0, (base + by) as u16),
            false => ((base + by).to_be_bytes(), source.1),
        };
        let own = match self.with_ports {
            true => u32::from(flow.source().1),
            false => u32::from_be_bytes(flow.source().0),
        };
        if self.order == Order::SameFirst
            && own.checked_sub(base).is_some_and(|by| by <= self.variation)
            && let Some(id) = free(at(own - base))
        {
            return Some(id);
        }
        let count = u64::from(self.variation) + 1;
        let first = match self.order {
            Order::Sequential => u64::from(self.next.0.load(Ordering::Relaxed)),
            _ => ((u128::from(random) * u128::from(count)) >> 64) as u64,
        };
        for by in (0..count.min(TRIES.into())).map(|n| ((first + n) % count) as u32) {
            self.next.0.store(if by == self.variation { 0 } else { by + 1 }, Ordering::Relaxed);
            if let Some(id) = free(at(by)) {
                return Some(id);
            }
        }
        None
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = || "-".to_string();
        let address = |a: u32| Ipv4(a.to_be_bytes());
        let source = match self.source {
            Some(first) if self.variation > 0 && !self.with_ports => {
                format!("{}-{}", address(first), address(first + self.variation))
            }
            Some(one) => address(one).to_string(),
            None => dash(),
        };
        let destination = self.destination.map_or_else(dash, |d| Ipv4(d).to_string());
        if !self.with_ports {
            return write!(f, "{source} {destination}");
        }
        let sport = match self.sport {
            Some(first) if self.variation > 0 => {
                format!("{first}-{}", u32::from(first) + self.variation)
            }
            Some(one) => one.to_string(),
            None => dash(),
        };
        write!(f, "{source} {sport} {destination} {}", self.dport.map_or_else(dash, |p| p.to_string()))
    }
}
