//! `microvisor get` and `microvisor apply`: what a node shall have, as a file.

use super::{context, escaped, instances, networks};
use crate::images::Config;
use crate::output::{self, Failure};
use api::client::Client;
use api::flavor::Flavor;
use api::instance::{Instance, InstanceChange, InstanceSpec};
use api::network::{Network, NetworkChange};
use clap::ValueEnum;
use machine::status;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use similar::TextDiff;
use std::io::Read;
use std::path::Path;

/// Longest file that is read, bytes.
const LONGEST: u64 = 64 << 20;

/// How a declaration is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// YAML
    #[default]
    Yaml,
    /// JSON
    Json,
}

/// What a node shall have, or has.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Declaration {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<Network>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flavors: Vec<Flavor>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Vec<InstanceSpec>,
}

fn refused(message: impl std::fmt::Display) -> Failure {
    Failure::new(message, status::CONFIGURATION_REFUSED)
}

fn yaml(value: &impl Serialize) -> String {
    serde_yaml_ng::to_string(value).unwrap_or_default()
}

/// What an instance was asked to be; its name is the one that the node gave it, if it came without.
pub fn spec(client: &Client, name: &str) -> Result<InstanceSpec, Failure> {
    let mut spec: InstanceSpec = client.get(&instances::path(name, "/spec"))?;
    spec.name.get_or_insert_with(|| name.into());
    Ok(spec)
}

/// `microvisor get`: some instances, or without names all that the node has.
pub fn get(names: &[String], form: Form) -> Result<(), Failure> {
    let client = context::required()?;
    let declaration = match names {
        [] => Declaration {
            networks: requested_networks(&client)?,
            flavors: client.get("/v1/flavors")?,
            instances: instances::all(&client)?
                .iter()
                .map(|i: &Instance| spec(&client, &i.name))
                .collect::<Result<_, _>>()?,
        },
        names => Declaration {
            instances: names.iter().map(|name| spec(&client, name)).collect::<Result<_, _>>()?,
            ..Declaration::default()
        },
    };
    match form {
        Form::Json => output::json(&declaration),
        Form::Yaml => output::print(yaml(&declaration)),
    }
}

/// Networks as they were asked for: what the node found by itself is left out.
fn requested_networks(client: &Client) -> Result<Vec<Network>, Failure> {
    let mut networks: Vec<Network> = client.get("/v1/networks")?;
    for network in &mut networks {
        if let Some(uplink) = network.uplink.as_mut().filter(|u| u.take_over) {
            uplink.taken = None;
            (network.subnet, network.gateway) = (None, None);
        }
    }
    Ok(networks)
}

impl Declaration {
    /// Reads a file, YAML or JSON; `-` is standard input. An instance may name the file of its configuration (`config_file`),
    /// from the declaration's folder.
    fn read(file: &Path) -> Result<Self, Failure> {
        let name = file.display();
        let mut text = String::new();
        let read = match file == Path::new("-") {
            true => std::io::stdin().take(LONGEST).read_to_string(&mut text),
            false => std::fs::File::open(file).and_then(|f| f.take(LONGEST).read_to_string(&mut text)),
        };
        read.map_err(|e| refused(format!("{name}: {e}")))?;
        let mut value: Value = serde_yaml_ng::from_str(&text).map_err(|e| refused(format!("{name}: {e}")))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        for instance in value["instances"].as_array_mut().into_iter().flatten() {
            let Some(instance) = instance.as_object_mut() else { continue };
            take_config(instance, folder)?;
        }
        let declaration: Self = serde_json::from_value(value).map_err(|e| refused(format!("{name}: {e}")))?;
        match declaration.instances.iter().all(|i| i.name.is_some()) {
            true => Ok(declaration),
            false => Err(refused(format!("{name}: every instance needs a name"))),
        }
    }
}

/// Puts the text of the file that an instance names in its place.
fn take_config(instance: &mut Map<String, Value>, folder: &Path) -> Result<(), Failure> {
    let Some(file) = instance.remove("config_file") else { return Ok(()) };
    let file = file.as_str().ok_or_else(|| refused("config_file: the name of a file"))?;
    if instance.contains_key("config") {
        return Err(refused(format!("config and config_file ({file}) cannot be given together")));
    }
    let config = Config::read(&folder.join(file))?;
    instance.insert("config".into(), String::from_utf8_lossy(&config.bytes).into());
    Ok(())
}

/// One thing to do.
enum Step<'a> {
    Network(&'a Network),
    /// What of one changes that is there.
    NetworkChange(&'a str, NetworkChange),
    /// Whether one of that name goes first.
    Flavor(&'a Flavor, bool),
    Instance(&'a InstanceSpec, bool),
    /// Another configuration for an instance, without a packet lost.
    Configuration(&'a InstanceSpec),
    /// Other labels or another restart policy.
    Change(&'a str, InstanceChange),
}

/// What is to be done, and what that changes.
#[derive(Default)]
struct Changes<'a> {
    steps: Vec<Step<'a>>,
    diff: String,
}

impl<'a> Changes<'a> {
    fn add(
        &mut self,
        title: String,
        before: Option<&impl Serialize>,
        after: &impl Serialize,
        steps: impl IntoIterator<Item = Step<'a>>,
    ) {
        let (old, new) = (before.map_or(String::new(), yaml), yaml(after));
        let from = if before.is_some() { title.as_str() } else { "/dev/null" };
        self.diff += &TextDiff::from_lines(&old, &new).unified_diff().header(from, &title).to_string();
        self.steps.extend(steps);
    }

    /// Compares what shall be with what is. Nothing is done that cannot be done as a whole.
    fn find(client: &Client, declared: &'a Declaration, replace: bool) -> Result<Self, Failure> {
        let mut changes = Self::default();
        let there = requested_networks(client)?;
        for network in &declared.networks {
            let title = format!("network {}", network.name);
            match there.iter().find(|n| n.name == network.name) {
                None => changes.add(title, None::<&Network>, network, [Step::Network(network)]),
                Some(before) if before == network => {}
                Some(before) => {
                    let Some(change) = NetworkChange::between(before, network) else {
                        return Err(refused(format!(
                            "{title} differs in more than its gateway and flood limit, which cannot be changed"
                        ))
                        .hint(format!("delete its instances, then it: microvisor net rm {}", network.name)));
                    };
                    changes.add(title, Some(before), network, [Step::NetworkChange(&network.name, change)]);
                }
            }
        }
        let there: Vec<Flavor> = client.get("/v1/flavors")?;
        for flavor in &declared.flavors {
            let before = there.iter().find(|f| f.name == flavor.name);
            if before != Some(flavor) {
                let step = Step::Flavor(flavor, before.is_some());
                changes.add(format!("flavor {}", flavor.name), before, flavor, [step]);
            }
        }
        let there = instances::all(client)?;
        for instance in &declared.instances {
            let name = instance.name.as_deref().unwrap_or_default();
            let title = format!("instance {name}");
            if !there.iter().any(|i| i.name == name) {
                changes.add(title, None::<&InstanceSpec>, instance, [Step::Instance(instance, false)]);
                continue;
            }
            let before = spec(client, name)?;
            if before == *instance {
                continue;
            }
            let swapped = match &instance.config {
                Some(_) => InstanceSpec { config: instance.config.clone(), ..before.clone() },
                None => before.clone(),
            };
            if let Some(change) = InstanceChange::between(&swapped, instance) {
                let is_new = change != InstanceChange::default();
                let steps = [
                    (before.config != swapped.config).then_some(Step::Configuration(instance)),
                    is_new.then_some(Step::Change(name, change)),
                ];
                changes.add(title, Some(&before), instance, steps.into_iter().flatten());
            } else if replace {
                changes.add(title, Some(&before), instance, [Step::Instance(instance, true)]);
            } else {
                return Err(refused(format!(
                    "{title} differs in more than configuration, labels and restart policy"
                ))
                .hint("--replace deletes it and creates it again; --replace --dry-run shows what differs"));
            }
        }
        Ok(changes)
    }
}

impl Step<'_> {
    fn act(&self, client: &Client) -> Result<(), Failure> {
        match *self {
            Step::Network(network) => client.post::<Network>("/v1/networks", network).map(drop)?,
            Step::NetworkChange(name, ref change) => {
                client.patch::<Network>(&networks::path(name), change).map(drop)?;
            }
            Step::Change(name, ref change) => {
                client.patch::<Instance>(&instances::path(name, ""), change).map(drop)?;
            }
            Step::Flavor(flavor, is_there) => {
                if is_there {
                    client.delete(&format!("/v1/flavors/{}", escaped(&flavor.name)))?;
                }
                client.post::<Flavor>("/v1/flavors", flavor).map(drop)?;
            }
            Step::Instance(instance, is_there) => {
                if is_there {
                    let name = instance.name.as_deref().unwrap_or_default();
                    client.delete(&instances::path(name, "?force=true"))?;
                }
                client.post::<Instance>("/v1/instances", instance).map(drop)?;
            }
            Step::Configuration(instance) => {
                let name = instance.name.as_deref().unwrap_or_default();
                instances::configure(name, instance.config.as_deref().unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// `microvisor apply`: shows what differs from a file, and makes it so.
pub fn apply(file: &Path, replace: bool, dry_run: bool) -> Result<(), Failure> {
    let declared = Declaration::read(file)?;
    let client = context::required()?;
    let changes = Changes::find(&client, &declared, replace)?;
    output::print(&changes.diff)?;
    if dry_run {
        return Ok(());
    }
    changes.steps.iter().try_for_each(|step| step.act(&client))
}
