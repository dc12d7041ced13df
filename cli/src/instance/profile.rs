//! `microvisor click NAME profile`: packets and processor time of each element.

use super::handler::{read, write};
use crate::output::{self, Failure};
use std::time::Duration;

/// One element in a profile.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Profiled {
    element: String,
    packets: u64,
    batches: u64,
    cycles_per_packet: u64,
}

impl Profiled {
    /// From a line of the `profile` handler.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let element = words.next()?.to_owned();
        let mut number = || words.next()?.parse().ok();
        Some(Self { element, packets: number()?, batches: number()?, cycles_per_packet: number()? })
    }
}

/// Counts for so long.
pub fn profile(name: &str, during: Duration, json: bool) -> Result<(), Failure> {
    let rows = |text: &str| -> Vec<Profiled> { text.lines().skip(1).filter_map(Profiled::parse).collect() };
    let was = read(name, "profiling")?;
    write(name, "profiling", "true")?;
    let before = rows(&read(name, "profile")?);
    std::thread::sleep(during);
    let mut after = rows(&read(name, "profile")?);
    write(name, "profiling", was.trim())?;
    for (now, then) in after.iter_mut().zip(&before) {
        let cycles = |p: &Profiled| p.cycles_per_packet.saturating_mul(p.packets);
        let packets = now.packets.saturating_sub(then.packets);
        let spent = cycles(now).saturating_sub(cycles(then));
        now.cycles_per_packet = spent.checked_div(packets).unwrap_or(0);
        now.batches = now.batches.saturating_sub(then.batches);
        now.packets = packets;
    }
    if json {
        return output::json(&after);
    }
    let row = |p: &Profiled| {
        let each = p.packets.checked_div(p.batches).unwrap_or(0);
        let numbers = [p.packets, p.batches, each, p.cycles_per_packet].map(|n| n.to_string());
        std::iter::once(p.element.clone()).chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = after.iter().map(row).collect();
    let heads = ["ELEMENT", "PACKETS", "BATCHES", "PACKETS/BATCH", "CYCLES/PACKET"];
    output::print(output::table(&heads, &rows))
}
