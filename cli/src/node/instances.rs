//! Instances of the node: what is done with them, and what others ask about them.

use super::escaped;
use crate::output::{self, Failure};
use api::client::Method;
use api::client::{Body, Client, SOCKET};
use api::instance::Instance;
use api::instance::Instances;
use api::timeline::Timeline;
use machine::status;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most instances of a page of the API.
const PAGE: usize = 1000;
/// Where the node listens unless told otherwise.
const DEFAULT: &str = "/run/microvisor/node/api.sock";

/// All instances.
pub fn all(client: &Client) -> Result<Vec<Instance>, Failure> {
    let mut all: Vec<Instance> = Vec::new();
    let mut after = String::new();
    loop {
        let page: Instances = client.get(&format!("/v1/instances?limit={PAGE}&after={after}"))?;
        all.extend(page.instances);
        match page.next {
            Some(next) => after = next.to_string(),
            None => return Ok(all),
        }
    }
}

/// The node, or `None` if this host has none. One that is expected and does not answer is a failure: its socket is
/// named, or its run folder is there.
pub fn expected() -> Result<Option<Client>, Failure> {
    let named = std::env::var_os(SOCKET).map(PathBuf::from);
    let is_named = named.is_some();
    let socket = named.unwrap_or_else(|| DEFAULT.into());
    match listener::connect(&socket) {
        Ok(_) => Ok(Client::on_socket(socket)),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("no permission to ask the node at {}", socket.display());
            Err(Failure::new(message, status::PERMISSION).hint("run as root"))
        }
        Err(_) if !is_named && !socket.parent().is_some_and(Path::is_dir) => Ok(None),
        Err(e) => Err(Failure::new(
            format!("the node does not answer at {}: {e}; its instances are not shown", socket.display()),
            status::HOST,
        )
        .hint("start it: microvisor node")),
    }
}

/// Path of an instance in the API, and below it.
fn path(name: &str, below: &str) -> String {
    // A name that cannot be one is not sent: it would be another path.
    let name = if api::instance::is_name(name) { name } else { "-" };
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

/// Replaces an instance's configuration, now and for its next starts.
pub fn configure(name: &str, config: &str) -> Result<(), Failure> {
    let body = serde_json::json!({ "config": config });
    Client::required()?.bytes(Method::PUT, &path(name, "/config"), Body::Json(&body))?;
    Ok(())
}

/// Writes a handler; what it answers.
pub fn write_handler(name: &str, handler: &str, value: &str) -> Result<String, Failure> {
    let path = path(name, &format!("/handlers/{}", escaped(handler)));
    let body = serde_json::json!({ "value": value });
    let answer = Client::required()?.bytes(Method::PUT, &path, Body::Json(&body))?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
    Ok(answer["value"].as_str().unwrap_or_default().to_owned())
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
