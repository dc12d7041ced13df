//! Makes a monitor's surroundings, and starts it.

use super::prepare::Prepared;
use super::report::Reader;
use crate::model::{Instance, InstanceSpec};
use crate::node::Node;
use crate::problem::Problem;
use crate::process::{Process, program};
use crate::store::Running;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Command;
use vmm::clock::Tsc;
use vmm::timeline::Phase;

/// Names in an instance's folder.
pub const REPORT: &str = "report";
/// Its monitor's control socket.
pub const SOCKET: &str = "control.sock";

/// A monitor that was started.
pub struct Launched {
    /// Its process.
    pub process: Process,
    /// What it says.
    pub report: Reader,
    /// What is written down of it.
    pub running: Running,
}

/// Starts an instance's monitor. After an error nothing is left.
pub fn launch(
    node: &Node,
    spec: &InstanceSpec,
    instance: &Instance,
    prepared: Prepared,
) -> Result<Launched, Problem> {
    let launched = make(node, spec, instance, prepared);
    if launched.is_err() {
        clean(node, instance);
    }
    launched
}

/// Takes down what [`launch`] has made.
pub fn clean(node: &Node, instance: &Instance) {
    for device in &instance.devices {
        if let Err(e) = node.keeper.delete(&device.port) {
            tracing::debug!(port = device.port, "{e}");
        }
    }
    let _ = std::fs::remove_dir_all(node.folder(instance.id));
}

fn make(
    node: &Node,
    spec: &InstanceSpec,
    instance: &Instance,
    prepared: Prepared,
) -> Result<Launched, Problem> {
    let Prepared { image, flavor, memory_mib, mut arrival } = prepared;
    let folder = node.folder(instance.id);
    let cannot = |path: &Path, e: std::io::Error| match e.kind() {
        std::io::ErrorKind::StorageFull => Problem::host(format!("no space is left for {}", path.display())),
        _ => Problem::host(format!("{}: {e}", path.display())),
    };
    // What a former run may have left is of no use.
    let _ = std::fs::remove_dir_all(&folder);
    DirBuilder::new().mode(0o700).create(&folder).map_err(|e| cannot(&folder, e))?;
    let mut command = Command::new(program("microvisor-vmm"));
    command.arg("--image").arg(&image.path);
    if let Some(text) = &spec.config {
        let path = folder.join("config");
        std::fs::write(&path, text).map_err(|e| cannot(&path, e))?;
        command.arg("--config").arg(path);
    }
    for (name, value) in &spec.variables {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    for device in &instance.devices {
        let network = node.store.network(&device.network)?;
        node.keeper.put(instance.id, device, &network, flavor.as_ref())?;
        let socket = node.keeper.device_socket(instance.id, &device.port);
        let mut net = format!("vhost-user={},mac={},mtu={}", socket.display(), device.mac, network.mtu);
        if let (Some(address), Some(prefix)) = (device.address, device.prefix) {
            net += &format!(",ipv4={address}/{prefix}");
        }
        if let Some(gateway) = device.gateway {
            net += &format!(",ipv4-gateway={gateway}");
        }
        if let Some(queue) = flavor.as_ref().and_then(|f| f.queue) {
            net += &format!(",queue={queue}");
        }
        command.arg("--net").arg(net);
    }
    if let Some(poll) = flavor.as_ref().and_then(|f| f.poll_us) {
        command.arg("--poll").arg(poll.to_string());
    }
    let report_path = folder.join(REPORT);
    let report = Reader::open(&node.watcher, &report_path).map_err(|e| cannot(&report_path, e))?;
    let log = folder.join("monitor.log");
    let log = File::create(&log).map_err(|e| cannot(&log, e))?;
    command.args(["--memory", &memory_mib.to_string(), "--console", "off"]);
    command.arg("--control").arg(folder.join(SOCKET)).arg("--report").arg(&report_path);
    arrival.past(Phase::Network);
    command.args(["--origin", &Tsc::now().0.to_string()]);
    let output = log.try_clone().map_err(|e| cannot(&folder, e))?;
    let process = Process::start(command.stdout(output).stderr(log)).map_err(|e| {
        Problem::host(format!("start the monitor: {e}"))
            .hint("microvisor-vmm is installed beside microvisor-node")
    })?;
    let running = Running {
        pid: process.pid,
        began: process.began,
        request: arrival.request,
        begun: arrival.begun,
        begun_unix_ns: arrival.begun_unix_ns,
        phases: arrival.phases,
    };
    Ok(Launched { process, report, running })
}
