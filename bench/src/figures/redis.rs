//! Figure 2: transactions per second of Redis.

use super::data::{Axis, Bar, Better, Content, Draft, Group, Scale, Stat};
use super::load::{redis, redis_of_guest};
use super::rounds::{Effort, Run};
use super::testbed::process::Error;
use super::testbed::setup::{Path, Server, Setup, check};
use super::testbed::{Testbed, with_stock};

const SETUPS: [Setup; 4] = [
    Setup::new("native", Path::Veth { links: 1 }),
    Setup::new("tap", Path::Tap),
    Setup::new("switch", Path::Switch),
    Setup::new("guests", Path::Switch),
];
const PIPELINES: [usize; 2] = [1, 16];
const GROUPS: [&str; 4] =
    ["SET, one at a time", "GET, one at a time", "SET, 16 at a time", "GET, 16 at a time"];

fn requests(e: &Effort, pipeline: usize) -> usize {
    let base = if e.quick { 50_000 } else { 200_000 };
    if pipeline > 1 { base * 4 } else { base }
}

/// About how many seconds it takes.
pub fn seconds(e: &Effort) -> f64 {
    turn_seconds(e) * (SETUPS.len() * e.rounds) as f64
}

fn turn_seconds(e: &Effort) -> f64 {
    if e.quick { 5.0 } else { 16.0 }
}

/// Measures it.
pub fn make(run: &mut Run) -> Result<Draft, Error> {
    let setups = with_stock(&SETUPS);
    let mut programs = check(&setups, Server::Redis, &["redis-benchmark"])?;
    programs.push("redis-benchmark");
    let e = run.effort.clone();
    let series = run.alternate(&setups, turn_seconds(&e), |setup| {
        let mut rates = Vec::new();
        if setup.key == "guests" {
            for (pipeline, reads) in PIPELINES.into_iter().flat_map(|p| [(p, 0), (p, 100)]) {
                // A guest that has ended leaves connections behind, which may be in the way of the next one's.
                let testbed = Testbed::new(setup, Server::Redis)?;
                rates.push(redis_of_guest(&testbed, setup, requests(&e, pipeline), pipeline, reads)?);
            }
        } else {
            let testbed = Testbed::new(setup, Server::Redis)?;
            redis(&testbed, 10_000, 16)?;
            for pipeline in PIPELINES {
                rates.extend(redis(&testbed, requests(&e, pipeline), pipeline)?);
            }
        }
        Ok(rates.into_iter().enumerate().map(|(n, rate)| (n as f64, rate / 1000.0)).collect())
    })?;
    let groups = GROUPS.iter().enumerate().map(|(n, label)| Group {
        label: (*label).into(),
        bars: series
            .iter()
            .filter_map(|s| {
                let stat: Stat = s.points.get(n)?.stat.clone();
                Some(Bar { key: s.key.clone(), label: s.label.clone(), stat })
            })
            .collect(),
    });
    let value = Axis {
        label: "transactions".into(),
        unit: "1000/s".into(),
        scale: Scale::Linear,
        better: Some(Better::More),
    };
    let compared = vec![
        "50 clients, values of 3 bytes, one key. redis-benchmark in a namespace loads the redis guest, or redis-server in a second namespace; between two guests the redis-load guest does. Nothing is written to a disk.".into(),
        "Native: over a veth pair. TAP: the monitor moves packets. Switch: a TAP of the switch and vhost-user. Two guests: both on the switch.".into(),
        format!("{} requests one at a time, {} requests 16 at a time; configurations take turns, {} rounds; each is made for its turn and removed after it.", requests(&e, 1), requests(&e, 16), e.rounds),
    ];
    Ok(Draft {
        content: Content::Bars { value, groups: groups.collect() },
        programs,
        compared,
        missing: super::latency::no_peer(),
    })
}
