//! What keeps a monitor apart from the rest of the host, made before the first is asked for.

use crate::cgroup::{Cgroups, Group};
use crate::process::spawn::{Sandbox, empty_network, privileged};
use api::Problem;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The same for all monitors. Without root there is none of it.
#[derive(Default)]
pub struct Confinement {
    network: Option<OwnedFd>,
    /// Where their control groups are.
    pub groups: Cgroups,
}

impl Confinement {
    /// For the monitors of a node with this folder.
    pub fn begin(run: &Path) -> Result<Self, Problem> {
        if !privileged() {
            tracing::warn!("without root, monitors have no namespaces and no control groups");
            return Ok(Self::default());
        }
        let network = empty_network().map_err(|e| Problem::host(format!("a network namespace: {e}")))?;
        let groups = Cgroups::begin(run).unwrap_or_else(|e| {
            tracing::warn!("no control groups, so that nothing limits monitors' processors and memory: {e}");
            Cgroups::default()
        });
        Ok(Self { network: Some(network), groups })
    }

    /// What a monitor is started in.
    pub fn sandbox<'a>(&'a self, group: Option<&'a Group>) -> Option<Sandbox<'a>> {
        self.network.as_ref().map(|network| Sandbox { network, group })
    }
}
