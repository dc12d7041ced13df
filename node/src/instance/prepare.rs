//! Refuses what cannot run, before anything is made for it.

use super::Arrival;
use crate::images::Found;
use crate::model::{Flavor, InstanceSpec, is_name};
use crate::node::Node;
use crate::problem::Problem;
use click::Source;

/// All that was found for an instance.
pub struct Prepared {
    /// Its image.
    pub image: Found,
    /// Its flavor.
    pub flavor: Option<Flavor>,
    /// Its memory, MiB.
    pub memory_mib: u64,
    /// The request, with the image's phase over.
    pub arrival: Arrival,
}

/// Most labels and variables.
const WORDS: usize = 256;

/// Finds image and flavor, and checks that they fit each other and the configuration.
pub fn prepare(node: &Node, spec: &InstanceSpec, mut arrival: Arrival) -> Result<Prepared, Problem> {
    if let Some(name) = &spec.name
        && !is_name(name)
    {
        return Err(Problem::invalid(format!(
            "{name:?} cannot name an instance: letters, digits, - _ . and at most 63 of them"
        )));
    }
    if spec.labels.len() > WORDS || spec.variables.len() > WORDS {
        return Err(Problem::invalid(format!("more than {WORDS} labels or variables")));
    }
    let flavor = spec.flavor.as_ref().map(|name| node.store.flavor(name)).transpose()?;
    let image = node.images.find(&spec.image)?;
    let memory = spec.memory_mib.or_else(|| flavor.as_ref()?.memory_mib);
    let memory_mib = memory.unwrap_or(image.image.memory_mib).max(1);
    if memory_mib > vmm::options::MEMORY_MAXIMUM_MIB {
        return Err(Problem::invalid(format!("memory: at most {} MiB", vmm::options::MEMORY_MAXIMUM_MIB)));
    }
    image.guest.accepts(memory_mib << 20, spec.devices.len(), spec.config.is_some())?;
    if let Some(demand) = spec.on_demand {
        if demand.idle_s == 0 {
            return Err(Problem::invalid("an instance on demand is idle for at least a second"));
        }
        if spec.devices.is_empty() {
            return Err(Problem::invalid("no packet comes to an instance without a device"));
        }
        for device in &spec.devices {
            if node.store.network(&device.network)?.point_to_point {
                let network = &device.network;
                return Err(Problem::invalid(format!(
                    "{network} is a wire, which holds no packets for instances on demand"
                )));
            }
        }
    }
    match &spec.config {
        Some(text) if image.image.config_format == "click" => check_click(text, spec)?,
        _ => {}
    }
    arrival.past(machine::timeline::Phase::Image);
    Ok(Prepared { image, flavor, memory_mib, arrival })
}

/// Checks a Click file by the code that runs it.
pub fn check_click(text: &str, spec: &InstanceSpec) -> Result<(), Problem> {
    let variables: Vec<(String, String)> =
        spec.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let source = Source { name: "config", text };
    let checked = click::check(&source, &variables).map_err(|d| Problem::configuration(&d))?;
    let used = checked.devices();
    if used.len() > spec.devices.len() {
        return Err(Problem::invalid(format!(
            "the configuration uses {} net devices ({}), and {} are given",
            used.len(),
            used.join(", "),
            spec.devices.len()
        ))
        .hint("add a device for each, with its network"));
    }
    Ok(())
}
