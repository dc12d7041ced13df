//! Instances of the node: what is done with them, and what others ask about them.

use crate::output::{self, Failure};
use hyper::Method;
use node::api::instances::Instances;
use node::client::{Body, Client};
use node::model::{Instance, Timeline};
use std::path::PathBuf;
use std::time::Duration;

/// Most instances of a page of the API.
const PAGE: usize = 1000;

/// All instances; none if there is no node.
pub fn all() -> Vec<Instance> {
    let Some(client) = Client::find() else { return Vec::new() };
    let mut all: Vec<Instance> = Vec::new();
    let mut after = String::new();
    while let Ok(page) = client.get::<Instances>(&format!("/v1/instances?limit={PAGE}&after={after}")) {
        all.extend(page.instances);
        match page.next {
            Some(next) => after = next.to_string(),
            None => break,
        }
    }
    all
}

/// Path of an instance in the API, and below it.
fn path(name: &str, below: &str) -> String {
    // A name that cannot be one is not sent: it would be another path.
    let name = if node::model::is_name(name) { name } else { "-" };
    format!("/v1/instances/{name}{below}")
}

/// Whether the node has an instance of this name.
pub fn has(name: &str) -> bool {
    Client::find().is_some_and(|c| c.get::<Instance>(&path(name, "")).is_ok())
}

/// The control socket of an instance.
pub fn socket(name: &str) -> Option<PathBuf> {
    let client = Client::find()?;
    let instance: Instance = client.get(&path(name, "")).ok()?;
    Some(client.run_folder()?.join("i").join(instance.id.to_string()).join("control.sock"))
}

/// Stops an instance.
pub fn stop(name: &str, grace: Duration) -> Result<(), Failure> {
    let path = path(name, &format!("/stop?grace_ms={}", grace.as_millis()));
    Client::required()?.bytes(Method::POST, &path, Body::None)?;
    Ok(())
}

/// The timeline of an instance.
pub fn timeline(name: &str) -> Result<Timeline, Failure> {
    Ok(Client::required()?.get(&path(name, "/timeline"))?)
}

/// `microvisor start`, `reboot`, `pause`, `resume`: the API has the same names for them.
pub fn act(names: &[String], action: &str) -> Result<(), Failure> {
    let client = Client::required()?;
    output::each(names, |name| {
        client.bytes(Method::POST, &path(name, &format!("/{action}")), Body::None)?;
        Ok(())
    })
}

/// `microvisor rm`
pub fn remove(names: &[String], force: bool) -> Result<(), Failure> {
    let client = Client::required()?;
    output::each(names, |name| Ok(client.delete(&path(name, &format!("?force={force}")))?))
}

/// `microvisor logs`
pub fn logs(name: &str) -> Result<(), Failure> {
    output::print(Client::required()?.bytes(Method::GET, &path(name, "/console"), Body::None)?)
}
