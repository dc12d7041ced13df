//! The data plane's tables from the configuration.

use super::PortRecord;
use crate::bond::Distribution;
use crate::config::{BondHash, BondMode, Config, DeviceConfig, RateLimit};
use crate::forward::fdb::SegmentId;
use crate::forward::tables::{AnnouncedEntry, Binding, Member, PortEntry, Rate, SegmentEntry, Tables};
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
    let count = ports.values().map(|p| p.id.index() + 1).max().unwrap_or(0);
    tables.ports.resize_with(count, || None);
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
        let native = c.segment.as_deref().and_then(|s| segment_ids.get(s)).copied();
        let trunk: Vec<(u16, SegmentId)> =
            c.trunk.iter().filter_map(|(v, s)| Some((v.0, *segment_ids.get(s.as_str())?))).collect();
        for (vlan, segment) in native.iter().map(|s| (0, *s)).chain(trunk.iter().copied()) {
            let s = &mut tables.segments[segment.0 as usize];
            s.members.push(Member { port: managed.id, vlan });
            if let Some(mac) = c.mac {
                tables.fixed.push((segment, mac, managed.id));
                tables.neighbours.extend(c.addresses.iter().map(|a| ((segment, *a), mac)));
            }
        }
        tables.ports[managed.id.index()] = Some(PortEntry {
            name: name.clone(),
            thread: managed.thread,
            shared: managed.shared.clone(),
            native,
            trunk,
            bound_to: c
                .mac
                .filter(|_| c.anti_spoofing)
                .map(|mac| Binding::new(mac, &c.addresses, &c.allowed_address_pairs)),
            mtu: c.mtu,
            bond,
            master: None,
            mirror: c.mirror.as_deref().and_then(id_of),
            assigned: c.mac.is_some() && !c.addresses.is_empty() && c.allowed_address_pairs.is_empty(),
            rate_in: rate(c.limit_in),
            rate_out: rate(c.limit_out),
        });
    }
    for (link, master) in masters {
        if let Some(Some(port)) = tables.ports.get_mut(link.index()) {
            port.master = Some(master);
        }
    }
    for (name, a) in &config.announced {
        let Some(&segment) = segment_ids.get(a.segment.as_str()) else { continue };
        let of_port = tables.fixed.iter().find(|(s, m, _)| *s == segment && *m == a.mac);
        let port = of_port.map(|f| f.2);
        tables.neighbours.extend(a.addresses.iter().map(|ip| ((segment, *ip), a.mac)));
        tables.announced_at.insert((segment, a.mac), tables.announced.len());
        tables.announced.push(AnnouncedEntry {
            segment,
            mac: a.mac,
            name: name.clone(),
            port,
            packets: a.packets,
            time: a.time_ms * 1_000_000,
        });
    }
    tables
}
