//! `microvisor ps`: the instances of this host.

use super::{call, up_words};
use crate::local::list;
use crate::local::record::Record;
use crate::node::labels::{Selector, select};
use crate::node::{context, instances};
use crate::output::{self, Failure};
use api::health::HealthState;
use api::instance::Instance;
use machine::control::{Request, Response};
use machine::timeline::unix_ns;
use std::time::Duration;

const HEADINGS: [&str; 7] = ["NAME", "STATE", "UP", "PID", "IMAGE", "CONFIGURATION", "NETWORK"];

/// `microvisor ps`
pub fn ps(json: bool, selectors: &[Selector]) -> Result<(), Failure> {
    // Those without the node have no labels.
    let is_elsewhere = context::is_remote() || !selectors.is_empty();
    let local = if is_elsewhere { Vec::new() } else { list::running() };
    // What is known is shown, even if the node does not answer.
    let (on_node, missing) =
        match instances::expected().and_then(|node| node.map_or(Ok(Vec::new()), |n| instances::all(&n))) {
            Ok(mut on_node) => {
                on_node.retain(|i| select(selectors, &i.labels));
                (on_node, Ok(()))
            }
            Err(failure) => (Vec::new(), Err(failure)),
        };
    if json {
        let on_node = on_node.iter().filter_map(|i| serde_json::to_value(i).ok());
        let local = local.iter().filter_map(|r| serde_json::to_value(r).ok());
        output::json(&local.chain(on_node).collect::<Vec<serde_json::Value>>())?;
        return missing;
    }
    let mut rows: Vec<Vec<String>> = local.iter().map(local_row).collect();
    rows.extend(on_node.iter().map(node_row));
    output::print(output::table(&HEADINGS, &rows))?;
    missing
}

fn since(unix: u64) -> String {
    up_words(Duration::from_nanos(unix_ns().saturating_sub(unix)))
}

fn local_row(r: &Record) -> Vec<String> {
    let state = match call(&r.name, &Request::Inspect) {
        Ok(Response::Instance(i)) if i.ready => "ready",
        Ok(_) => "starting",
        Err(_) => "?",
    };
    vec![
        r.name.clone(),
        state.into(),
        since(r.started_unix_ns),
        r.pid.to_string(),
        r.image.clone(),
        r.config.clone().unwrap_or_else(|| "-".into()),
        r.taps.join(","),
    ]
}

fn node_row(i: &Instance) -> Vec<String> {
    let devices = i.devices.iter().map(|d| {
        let addresses = d.addresses().into_iter().map(|a| a.to_string());
        [d.network.clone()].into_iter().chain(addresses).collect::<Vec<_>>().join("=")
    });
    vec![
        i.name.clone(),
        match &i.health {
            Some(health) if health.state == HealthState::Unhealthy => "unhealthy".into(),
            _ => i.state.name().into(),
        },
        i.started_unix_ns.map_or("-".into(), since),
        i.pid.map_or("-".into(), |pid| pid.to_string()),
        i.image.clone(),
        "node".into(),
        devices.collect::<Vec<_>>().join(","),
    ]
}
