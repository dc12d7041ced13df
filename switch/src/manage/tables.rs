//! The data plane's tables from the configuration.

use super::PortRecord;
use crate::bond::Distribution;
use crate::config::{AnnouncedConfig, BondHash, BondMode, Config, DeviceConfig, PortConfig, RateLimit};
use crate::forward::fdb::SegmentId;
use crate::forward::tables::{AnnouncedEntry, Binding, PortEntry, Rate, SegmentEntry, Tables};
use crate::port::PortId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Large segments must fit.
const BURST_MINIMUM: u64 = 128 * 1024;

fn rate(limit: Option<RateLimit>) -> Rate {
    let Some(limit) = limit else { return Rate::default() };
    let bytes = limit.mbit.map_or(0, |m| (m * 125_000.0).max(1.0) as u64);
    let packets = limit.kpps.map_or(0, |k| (k * 1000.0).max(1.0) as u64);
    let burst = limit.burst_kb.map_or((bytes / 100).max(BURST_MINIMUM), |kb| kb * 1024);
    Rate { bytes, packets, burst }
}

/// How a bond spreads its flows.
fn spread(mode: BondMode, hash: BondHash) -> crate::bond::Spread {
    use crate::bond::Spread;
    match (mode, hash) {
        (BondMode::Broadcast, _) => Spread::Broadcast,
        (_, BondHash::Layer23) => Spread::Layer23,
        (_, BondHash::Layer34) => Spread::Layer34,
    }
}

/// Makes them. Bonds that do not change keep their distribution from `old`.
pub fn build(config: &Config, ports: &BTreeMap<String, PortRecord>, old: &Tables) -> Tables {
    let segment_ids: HashMap<&str, SegmentId> =
        config.segments.keys().enumerate().map(|(i, n)| (n.as_str(), SegmentId(i as u32))).collect();
    let id_of = |name: &str| ports.get(name).map(|p| p.id);
    let mut tables = Tables {
        segments: config
            .segments
            .iter()
            .map(|(name, s)| SegmentEntry {
                name: name.clone(),
                point_to_point: s.point_to_point,
                answers: s.answer_neighbours,
                flood_limit: s.flood_limit,
                members: Vec::new(),
            })
            .collect(),
        ageing: config.switch.ageing_s,
        learn_limit: config.switch.addresses_per_port,
        addresses: config.switch.addresses,
        ..Tables::default()
    };
    let mut masters: HashMap<PortId, PortId> = HashMap::new();
    for (name, managed) in ports {
        let Some(c) = config.ports.get(name) else { continue };
        let mut bond = None;
        if let DeviceConfig::Bond(b) = &c.device {
            let links: Vec<PortId> = b.links.iter().filter_map(|l| id_of(l)).collect();
            masters.extend(links.iter().map(|&l| (l, managed.id)));
            let spread = spread(b.mode, b.hash);
            let before = old.port(managed.id).and_then(|p| p.bond.clone());
            bond = Some(match before {
                Some(same) if same.links() == links && same.spread() == spread => same,
                before => {
                    let new = Distribution::new(links, spread);
                    before.iter().for_each(|old| new.take_over(old));
                    Arc::new(new)
                }
            });
        }
        let segment_of = |segment: &str| segment_ids.get(segment).copied();
        let mirror = c.mirror.as_deref().and_then(id_of);
        tables.add_port(managed.id, PortEntry { bond, mirror, ..entry(name, c, managed, segment_of) });
    }
    for (link, master) in masters {
        if let Some(Some(port)) = tables.ports.get_mut(link.index()) {
            port.master = Some(master);
        }
    }
    for (name, a) in &config.announced {
        let Some(&segment) = segment_ids.get(a.segment.as_str()) else { continue };
        tables.announce(name.as_str().into(), announced_entry(a, segment));
    }
    tables
}

/// A port's entry, which is no bond, no link of one and not mirrored.
pub fn entry(
    name: &str,
    config: &PortConfig,
    managed: &PortRecord,
    segment_of: impl Fn(&str) -> Option<SegmentId>,
) -> PortEntry {
    let c = config;
    PortEntry {
        name: name.to_owned(),
        thread: managed.thread,
        shared: managed.shared.clone(),
        native: c.segment.as_deref().and_then(&segment_of),
        trunk: c.trunk.iter().filter_map(|(v, s)| Some((v.0, segment_of(s)?))).collect(),
        mac: c.mac,
        addresses: c.addresses.clone(),
        bound_to: c
            .mac
            .filter(|_| c.anti_spoofing)
            .map(|mac| Binding::new(mac, &c.addresses, &c.allowed_address_pairs)),
        mtu: c.mtu,
        bond: None,
        master: None,
        mirror: None,
        assigned: c.mac.is_some() && !c.addresses.is_empty() && c.allowed_address_pairs.is_empty(),
        rate_in: rate(c.limit_in),
        rate_out: rate(c.limit_out),
    }
}

/// An announced address's entry.
pub fn announced_entry(a: &AnnouncedConfig, segment: SegmentId) -> AnnouncedEntry {
    AnnouncedEntry {
        segment,
        mac: a.mac,
        addresses: a.addresses.clone(),
        packets: a.packets,
        time: a.time_ms * 1_000_000,
    }
}
