//! A node of the measurement's own.

use super::namespace::Folder;
use super::process::{Error, Running, failed, own, run, until};
use api::client::Client;
use api::instance::{Instance, State};
use api::network::Network;
use api::status::Status;
use api::timeline::Timeline;
use serde_json::json;
use std::process::Command;

/// A node of our own, gone with this.
pub struct Node {
    client: Client,
    daemon: Option<Running>,
    _folder: Folder,
}

impl Node {
    /// Starts it, with so many prepared guests.
    pub fn start(prepared: usize) -> Result<Self, Error> {
        let folder = Folder::new()?;
        let mut command = Command::new(own("microvisor-node"));
        command.arg("--run").arg(folder.0.join("run")).arg("--state").arg(folder.0.join("state"));
        let daemon = Running::quiet(command.args(["--prepared", &prepared.to_string()]))?;
        let mut client = None;
        until("the node answers", 10, || {
            client = Client::on_socket(folder.0.join("run/api.sock"));
            client.as_ref().is_some_and(|client| client.get::<Status>("/v1/status").is_ok())
        })?;
        let Some(client) = client else { return failed("the node does not answer") };
        let node = Self { client, daemon: Some(daemon), _folder: folder };
        let network = json!({ "name": "testbed", "subnet": "10.80.0.0/24" });
        node.client.post::<Network>("/v1/networks", &network).or_else(failed)?;
        Ok(node)
    }

    /// Whether so many guests are prepared.
    pub fn has_shells(&self, wanted: usize) -> bool {
        self.client.get::<Status>("/v1/status").is_ok_and(|status| status.prepared == wanted)
    }

    /// Makes an instance, which waits until it is ready, and removes it.
    pub fn instantiate(&self) -> Result<(), Error> {
        let config = include_str!("../pong.click");
        let spec = json!({ "name": "one", "config": config, "devices": [{ "network": "testbed" }] });
        let made: Instance = self.client.post("/v1/instances", &spec).or_else(failed)?;
        self.client.delete("/v1/instances/one?force=true").or_else(failed)?;
        if made.state == State::Ready {
            Ok(())
        } else {
            failed(format!("an instance did not get ready: {}", made.state.name()))
        }
    }

    /// The last timelines, so many.
    pub fn timelines(&self, last: usize) -> Result<Vec<Timeline>, Error> {
        self.client.get(&format!("/v1/timelines?last={last}")).or_else(failed)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.client.delete("/v1/instances/one?force=true");
        let switch = self.client.get::<Status>("/v1/status").ok().and_then(|status| status.switch);
        drop(self.daemon.take());
        // It would outlive the daemon, as it should.
        if let Some(switch) = switch {
            let _ = run(Command::new("kill").arg(switch.to_string()));
        }
    }
}
