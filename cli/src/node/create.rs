//! `microvisor run --network`: an instance of the node.

use super::{context, instances};
use crate::images::Config;
use crate::options::{RunOptions, TimelineForm};
use crate::output::{self, Failure};
use api::health::HealthCheck;
use api::instance::{Device, Instance, InstanceSpec, OnDemand, Restart};
use api::trace;
use machine::status;
use std::path::Path;

/// Creates an instance, and waits until it is ready.
pub fn run(o: &RunOptions) -> Result<(), Failure> {
    let instance = create(o)?;
    if let Some(form) = o.timeline {
        let timeline = instances::timeline(&instance.name)?;
        output::note(match form {
            TimelineForm::Bars => output::bars(&trace::flat(&timeline)),
            TimelineForm::Json => format!("{}\n", serde_json::to_string(&timeline).unwrap_or_default()),
        });
    }
    if o.json {
        return output::json(&instance);
    }
    let addresses: Vec<String> =
        instance.devices.iter().flat_map(Device::addresses).map(|a| a.to_string()).collect();
    let ready = instance.ready_ns.map_or(String::new(), |ns| format!(" in {:.1} ms", ns as f64 / 1e6));
    output::print(format!("{} {}{ready} {}\n", instance.name, instance.state.name(), addresses.join(" ")))
}

fn create(o: &RunOptions) -> Result<Instance, Failure> {
    if !o.tap.is_empty() || !o.net.is_empty() {
        let message = "--network is for instances of the node, --tap and --net are for instances without it";
        return Err(Failure::new(message, status::CONFIGURATION_REFUSED));
    }
    if o.linux.refuse().is_err() {
        let message = "--cpus, --disk and --cmdline are for instances without the node, where a flavor and --set say so";
        return Err(Failure::new(message, status::CONFIGURATION_REFUSED));
    }
    let is_click = Path::new(o.what()).extension().is_some_and(|e| e == "click");
    if is_click && o.config.is_some() {
        let message = format!("{} is a configuration itself, so --config cannot be given as well", o.what());
        return Err(Failure::new(message, status::CONFIGURATION_REFUSED));
    }
    let client = context::required()?;
    let file = if is_click { Some(Path::new(o.what())) } else { o.config.as_deref() };
    let config = file.map(Config::read).transpose()?.map(|c| String::from_utf8_lossy(&c.bytes).into_owned());
    let stem = Path::new(o.what()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let spec = InstanceSpec {
        name: o.name.clone().or_else(|| is_click.then_some(stem)),
        image: if is_click { "clickos".into() } else { o.what().into() },
        config,
        variables: o.set.iter().cloned().collect(),
        flavor: o.flavor.clone(),
        memory_mib: o.memory,
        devices: o.network.iter().map(|n| n.0.clone()).collect(),
        labels: o.label.iter().cloned().collect(),
        restart: o.restart.map_or(Restart::Never, |r| r.0),
        on_demand: o.on_demand.map(|idle_s| OnDemand { idle_s }),
        health: o.health.clone().map(|check| {
            let usual = HealthCheck::new(check);
            HealthCheck { interval_s: o.health_interval.unwrap_or(usual.interval_s), ..usual }
        }),
    };
    Ok(client.post("/v1/instances", &spec)?)
}
