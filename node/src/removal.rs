//! The end of all that outlives the daemon, for a host that MicroVisor is removed from: monitors, the switch, control groups,
//! files in the run folder. The store and its images stay.

use crate::cgroup::Cgroups;
use crate::network::{self, takeover};
use crate::process::Process;
use crate::settings::Settings;
use crate::store::Store;
use api::Problem;
use std::path::Path;

/// Ends everything that the daemons with these settings have left; how many processes that were. A daemon must not run.
pub async fn end_all(settings: &Settings) -> Result<usize, Problem> {
    if !settings.state().join("node.db").is_file() {
        return Ok(0);
    }
    // It is the daemon's alone as long as one runs.
    let store = Store::open(settings.state()).map_err(|e| {
        Problem::from(e)
            .hint("end the daemon first: systemctl stop microvisor-node.socket microvisor-node.service")
    })?;
    let boot = crate::host::boot();
    let running = store.instances()?.into_iter().filter_map(|row| row.running);
    let this_boot = running.filter(|r| r.boot.is_empty() || r.boot == boot);
    let mut processes: Vec<Process> = this_boot.filter_map(|r| Process::find(r.pid, r.began)).collect();
    processes.extend(network::recorded_switch(&store)?);
    for process in &processes {
        process.signal(libc::SIGKILL);
        process.ended().await;
    }
    for network in store.networks()? {
        takeover::release(&network)
            .map_err(|e| Problem::host(format!("the addresses of {}: {e}", network.name)))?;
    }
    // Where there are no control groups, nothing is to be removed.
    let _ = Cgroups::begin(settings.run()).map(|groups| groups.close());
    clear(settings.run()).map_err(|e| Problem::host(format!("{}: {e}", settings.run().display())))?;
    Ok(processes.len())
}

/// Removes what is in a folder, and leaves the folder itself, which may be the service manager's.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}
