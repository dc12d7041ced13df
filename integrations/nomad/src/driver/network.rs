//! Network namespaces of allocations. Nomad makes them itself; a client that would have its driver make them gets the same:
//! a name under `/run/netns`, the allocation's id.

use crate::proto::drivers::NetworkIsolationSpec;
use crate::proto::drivers::network_isolation_spec::NetworkIsolationMode;
use std::collections::HashMap;
use std::path::Path;
use tokio::process::Command;
use tonic::Status;

const FOLDER: &str = "/run/netns";

/// Whether this may be a name under the folder: ids of allocations are UUIDs.
fn named(alloc: &str) -> Result<&str, Status> {
    uuid::Uuid::parse_str(alloc)
        .map_err(|_| Status::invalid_argument(format!("{alloc:?} is no allocation's id")))?;
    Ok(alloc)
}

async fn ip(words: &[&str]) -> Result<(), Status> {
    let done = Command::new("ip").args(words).kill_on_drop(true).output().await;
    let done = done.map_err(|e| Status::internal(format!("ip: {e}")))?;
    if done.status.success() {
        return Ok(());
    }
    Err(Status::internal(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}

/// Makes one, unless it is there; whether it was made.
pub async fn create(alloc: &str) -> Result<(NetworkIsolationSpec, bool), Status> {
    let path = format!("{FOLDER}/{}", named(alloc)?);
    let there = Path::new(&path).exists();
    if !there {
        ip(&["netns", "add", alloc]).await?;
    }
    let spec = NetworkIsolationSpec {
        mode: NetworkIsolationMode::Group.into(),
        path,
        labels: HashMap::new(),
        hosts_config: None,
    };
    Ok((spec, !there))
}

/// Removes it, if it is there.
pub async fn destroy(alloc: &str) -> Result<(), Status> {
    if Path::new(FOLDER).join(named(alloc)?).exists() {
        ip(&["netns", "delete", alloc]).await?;
    }
    Ok(())
}
