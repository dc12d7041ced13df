//! Refuses what cannot run, before anything is made for it.

use super::linux::LinuxPlan;
use super::{RequestTrace, checked, health};
use crate::images::{Guest, OpenImage};
use crate::node::Node;
use api::Problem;
use api::flavor::Flavor;
use api::instance::{InstanceSpec, is_name};
use api::problem::Diagnostic;
use click::diagnostic::Diagnostics;
use click::{Addressed, Misfit, Source};

/// All that a start needs, found and checked.
pub struct Plan {
    /// Its image.
    pub image: OpenImage,
    /// Its flavor.
    pub flavor: Option<Flavor>,
    /// Its memory, MiB.
    pub memory_mib: u64,
    /// Of a Linux guest.
    pub linux: Option<LinuxPlan>,
    /// The request, with the image's phase over.
    pub trace: RequestTrace,
}

/// Most labels and variables.
const WORDS: usize = 256;

/// Finds image and flavor, and checks that they fit each other and the configuration.
pub fn plan(node: &Node, spec: &InstanceSpec, mut trace: RequestTrace) -> Result<Plan, Problem> {
    if let Some(name) = &spec.name
        && !is_name(name)
    {
        return Err(Problem::invalid(format!(
            "{name:?} cannot name an instance: letters, digits, - _ . and at most 63 of them"
        )));
    }
    check_words(spec)?;
    let flavor = spec.flavor.as_ref().map(|name| node.store.flavor(name)).transpose()?;
    let image = node.images.find(&spec.image)?;
    let memory = spec.memory_mib.or_else(|| flavor.as_ref()?.memory_mib);
    if memory == Some(0) {
        return Err(Problem::invalid("memory_mib: at least 1"));
    }
    let memory_mib = memory.unwrap_or(image.image.memory_mib).max(1);
    let linux = match &image.guest {
        Guest::Ring3(_) if memory_mib > vmm::options::MEMORY_MAXIMUM_MIB => {
            let most = vmm::options::MEMORY_MAXIMUM_MIB;
            return Err(Problem::invalid(format!("memory: at most {most} MiB")));
        }
        Guest::Ring3(guest) => {
            guest.checked.accepts(memory_mib << 20, spec.devices.len(), spec.config.is_some())?;
            None
        }
        Guest::Linux(bundle) => Some(LinuxPlan::new(bundle, spec, flavor.as_ref(), memory_mib)?),
    };
    health::check(node, spec)?;
    if let Some(demand) = spec.on_demand {
        if demand.idle_s == 0 {
            return Err(Problem::invalid("on_demand: idle_s is at least 1"));
        }
        if spec.devices.is_empty() {
            return Err(Problem::invalid("an instance on demand needs a device"));
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
        Some(text) if image.image.config_format == "click" => check_config(node, text, spec)?,
        _ => {}
    }
    trace.past(machine::timeline::Phase::Image);
    Ok(Plan { image, flavor, memory_mib, linux, trace })
}

/// Refuses labels and variables that nobody could read, or that are too many.
pub fn check_words(spec: &InstanceSpec) -> Result<(), Problem> {
    if spec.labels.len() > WORDS || spec.variables.len() > WORDS {
        return Err(Problem::invalid(format!("more than {WORDS} labels or variables")));
    }
    let words = spec.variables.iter().chain(&spec.labels).flat_map(|(name, value)| [name, value]);
    if let Some(word) = words.into_iter().find(|word| word.contains(is_forbidden)) {
        return Err(Problem::invalid(format!(
            "{word:?}: control characters have no place in variables and labels"
        )));
    }
    Ok(())
}

/// Control characters, a zero byte above all, which would end a word of a command line; tabs and ends of lines may stand
/// in a value.
fn is_forbidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n')
}

/// Refuses a Click file that cannot run as `spec` says.
pub fn check_config(node: &Node, text: &str, spec: &InstanceSpec) -> Result<(), Problem> {
    let variables: Vec<(String, String)> =
        spec.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let source = Source { name: "config", text };
    let mut addressed = Vec::with_capacity(spec.devices.len());
    for device in &spec.devices {
        let network = node.store.network(&device.network)?;
        addressed.push(Addressed {
            ipv4: device.address.is_some() || network.subnet.is_some(),
            ipv6: device.address6.is_some() || network.subnet6.is_some(),
        });
    }
    let digest = checked::digest(text, spec, &addressed);
    if node.checked.knows(&digest) {
        return Ok(());
    }
    match click::check_for(&source, &variables, &addressed) {
        Ok(_) => {
            node.checked.add(digest);
            Ok(())
        }
        Err(Misfit::Addresses(wrong)) => {
            Err(Problem::configuration(wrong.to_string().trim_end(), diagnostics(text, &wrong))
                .hint("give the device an address, or its network a subnet"))
        }
        Err(Misfit::Configuration(wrong)) => {
            Err(Problem::configuration(wrong.to_string().trim_end(), diagnostics(text, &wrong)))
        }
        Err(Misfit::Devices(message)) => {
            Err(Problem::invalid(message).hint("add a device for each, with its network"))
        }
    }
}

/// What is wrong with a configuration, by place.
pub fn diagnostics(text: &str, wrong: &Diagnostics) -> Vec<Diagnostic> {
    let place = |d: &click::diagnostic::Diagnostic| Diagnostic {
        line: d.line,
        column: d.column,
        length: text.get(d.span.clone()).map_or(0, |about| about.chars().count()).max(1),
        message: d.message.clone(),
    };
    wrong.list.iter().map(place).collect()
}
