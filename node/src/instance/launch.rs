//! Makes a monitor's surroundings, and starts it.

use super::plan::Plan;
use super::prepared::{Shape, UnderWay};
use super::report::Reader;
use crate::cgroup::Group;
use crate::failpoint;
use crate::node::Node;
use crate::process::spawn::{Program, Sandbox, spawn};
use crate::process::{Process, program};
use crate::store::Running;
use api::Problem;
use api::flavor::Flavor;
use api::instance::{Device, Instance, InstanceSpec};
use api::network::Network;
use machine::timeline::{Phase, Tsc};
use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use vmm::start::prepared::{CONFIG_MAXIMUM, WORDS_MAXIMUM};

/// The first descriptor of a monitor that is not a standard one.
const FIRST_DESCRIPTOR: usize = 3;

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
    /// Until its guest is ready.
    pub under_way: UnderWay,
}

/// Starts an instance's monitor. After an error nothing is left.
pub fn launch(
    node: &Node,
    spec: &InstanceSpec,
    instance: &Instance,
    plan: Plan,
) -> Result<Launched, Problem> {
    let launched = make(node, spec, instance, plan);
    if launched.is_err() {
        clean(node, instance);
    }
    launched
}

/// Takes down what [`launch`] has made.
pub fn clean(node: &Node, instance: &Instance) {
    for device in &instance.devices {
        if let Err(e) = node.switch.delete(&device.port) {
            tracing::debug!(port = device.port, "{e}");
        }
    }
    let folder = node.folder(instance.id);
    node.confinement.groups.remove(&folder);
    let _ = std::fs::remove_dir_all(folder);
}

fn make(node: &Node, spec: &InstanceSpec, instance: &Instance, plan: Plan) -> Result<Launched, Problem> {
    let Plan { image, flavor, memory_mib, linux, mut trace } = plan;
    let folder = node.folder(instance.id);
    // What a former run may have left is of no use.
    let _ = std::fs::remove_dir_all(&folder);
    let under_way = node.prepared.start_begins();
    let queue = flavor.as_ref().and_then(|f| f.queue);
    let shape = Shape::new(&image, memory_mib, instance.devices.len(), queue);
    let takes_prepared =
        linux.is_none() && flavor.as_ref().and_then(|f| f.prepared).unwrap_or(true) && has_room(spec);
    let mut guest = if takes_prepared { node.prepared.take(&shape) } else { None };
    let made = match &mut guest {
        Some(guest) => guest.move_to(&folder),
        None => DirBuilder::new().mode(0o700).create(&folder),
    };
    made.map_err(|e| cannot(&folder, &e))?;
    let config = spec.config.as_ref().map(|text| in_memory(text)).transpose();
    let config = config.map_err(|e| Problem::host(format!("keep the configuration in memory: {e}")))?;
    let files = linux.as_ref().map(|linux| linux.files(node, instance)).transpose()?;
    let mut arguments: Vec<String> = linux.as_ref().map_or_else(Vec::new, |linux| linux.arguments(instance));
    let mut add = |name: &str, value: String| arguments.extend([name.into(), value]);
    for (name, value) in spec.variables.iter().filter(|_| linux.is_none()) {
        add("--set", format!("{name}={value}"));
    }
    let mut listeners: Vec<OwnedFd> = Vec::new();
    let mut networks = Vec::with_capacity(instance.devices.len());
    for device in &instance.devices {
        let network = node.store.network(&device.network)?;
        // It listens before there is a port: the switch connects at once, and the connection waits for the monitor.
        let socket = node.switch.device_socket(instance.id, &device.port);
        let listener = listener::bind(&socket).map_err(|e| cannot(&socket, &e))?;
        listeners.push(listener.into());
        let mut net = net_option(device, &network, &socket);
        if linux.is_none() {
            net += &guest_option(device, flavor.as_ref());
        }
        add("--net", net);
        networks.push(network);
    }
    let put_ports = || -> Result<(), Problem> {
        for (device, network) in instance.devices.iter().zip(&networks) {
            node.switch.put(instance.id, device, network, flavor.as_ref())?;
        }
        failpoint::reach("start::ports");
        Ok(())
    };
    if let Some(poll) = flavor.as_ref().and_then(|f| f.poll_us).filter(|_| linux.is_none()) {
        add("--poll", poll.to_string());
    }
    add("--memory", memory_mib.to_string());
    add("--console", "off".into());
    let report = folder.join(REPORT);
    let report = Reader::open(&node.watcher, &report).map_err(|e| cannot(&report, &e))?;
    let shares = flavor.as_ref().and_then(|f| f.cpu_shares);
    let percent = flavor.as_ref().and_then(|f| f.cpu_percent);
    let limit =
        |group: Option<&Group>| group.map_or(Ok(()), |group| group.limit(shares, percent, memory_mib << 20));
    let mut assigned = None;
    if let Some(guest) = guest {
        failpoint::reach("start::taken");
        trace.past(Phase::Network);
        let arguments = [&arguments[..], &["--origin".into(), Tsc::now().0.to_string()]].concat();
        // Its group has the memory already, and an instance's share.
        if shares.is_some() || percent.is_some() {
            limit(guest.group()).map_err(|e| cannot(&folder, &e))?;
        }
        match guest.assign(&arguments, config.as_ref(), &listeners, put_ports)? {
            Ok(process) => assigned = Some(process),
            Err(e) => {
                tracing::warn!("a prepared guest cannot be {}: {e}", instance.name);
                let _ = std::fs::remove_file(folder.join(SOCKET));
                node.confinement.groups.remove(&folder);
                trace.phases.pop();
            }
        }
    } else {
        put_ports()?;
    }
    let process = match assigned {
        Some(process) => process,
        None => {
            trace.past(Phase::Network);
            arguments.extend(["--origin".into(), Tsc::now().0.to_string()]);
            let nets = arguments.iter_mut().filter(|a| a.starts_with("vhost-user="));
            for (net, number) in nets.zip(FIRST_DESCRIPTOR..) {
                *net += &format!(",listener={number}");
            }
            let group = node.confinement.groups.make(&folder).map_err(|e| cannot(&folder, &e))?;
            limit(group.as_ref()).map_err(|e| cannot(&folder, &e))?;
            let sandbox = node.confinement.sandbox(group.as_ref());
            let mut named: Vec<(&str, BorrowedFd<'_>)> = Vec::new();
            let program = match &files {
                Some(files) => {
                    named.extend(files.options());
                    "microvisor-linux"
                }
                None => {
                    match image.copy() {
                        Some(copy) => named.push(("--image", copy.as_fd())),
                        None => arguments.extend(["--image".into(), image.path.display().to_string()]),
                    }
                    named.extend(config.iter().map(|config| ("--config", config.as_fd())));
                    "microvisor-vmm"
                }
            };
            start(program, &folder, &listeners, &named, arguments, sandbox.as_ref())?
        }
    };
    if let Some(cpus) = flavor.as_ref().and_then(|f| f.cpus.as_ref())
        && let Err(e) = process.pin(cpus)
    {
        process.signal(libc::SIGKILL);
        return Err(Problem::host(format!("keep the monitor on processors {cpus:?}: {e}")));
    }
    let running = Running {
        pid: process.pid,
        began: process.began,
        request: trace.request,
        traceparent: trace.traceparent,
        begun: trace.begun,
        begun_unix_ns: trace.begun_unix_ns,
        phases: trace.phases,
        boot: crate::host::boot(),
        flavor,
        listens: true,
    };
    Ok(Launched { process, report, running, under_way })
}

/// Whether a prepared guest has room for an instance's variables and configuration.
fn has_room(spec: &InstanceSpec) -> bool {
    // Each word has a sign between name and value, and an end.
    let words: usize = spec.variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    words as u64 <= WORDS_MAXIMUM && spec.config.as_ref().map_or(0, String::len) as u64 <= CONFIG_MAXIMUM
}

/// A file that is in no folder, with a text: the monitor takes it in once.
fn in_memory(text: &str) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("config", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// Starts a monitor. Its descriptors are the devices' sockets and then the files of options that are `named`.
fn start(
    name: &str,
    folder: &Path,
    listeners: &[OwnedFd],
    named: &[(&str, BorrowedFd<'_>)],
    mut arguments: Vec<String>,
    sandbox: Option<&Sandbox<'_>>,
) -> Result<Process, Problem> {
    let log = log_file(folder)?;
    let (control, report) = (folder.join(SOCKET), folder.join(REPORT));
    for ((option, _), number) in named.iter().zip(FIRST_DESCRIPTOR + listeners.len()..) {
        arguments.extend([(*option).into(), format!("/dev/fd/{number}")]);
    }
    let mut words: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    words.extend(["--control".as_ref(), control.as_os_str(), "--report".as_ref(), report.as_os_str()]);
    words.push("--no-mounts".as_ref());
    let path = program(name);
    let descriptors: Vec<_> = listeners.iter().map(AsFd::as_fd).chain(named.iter().map(|n| n.1)).collect();
    let descriptors = &descriptors;
    let program = Program { path: &path, arguments: &words, input: None, output: &log, descriptors };
    spawn(&program, sandbox).map_err(|e| {
        Problem::host(format!("start the monitor: {e}"))
            .hint(format!("{name} is installed beside microvisor-node"))
    })
}

/// What the host has refused, with the path that it was about.
pub fn cannot(path: &Path, e: &std::io::Error) -> Problem {
    match e.kind() {
        std::io::ErrorKind::StorageFull => Problem::host(format!("no space is left for {}", path.display())),
        _ => Problem::host(format!("{}: {e}", path.display())),
    }
}

/// Where a monitor in a folder says what nobody else hears.
pub fn log_file(folder: &Path) -> Result<File, Problem> {
    let path = folder.join("monitor.log");
    File::create(&path).map_err(|e| cannot(&path, &e))
}

/// A device as the monitor's command line has it.
fn net_option(device: &Device, network: &Network, socket: &Path) -> String {
    format!("vhost-user={},server=on,mac={},mtu={}", socket.display(), device.mac, network.mtu)
}

/// What of a device a guest without a kernel is told by its monitor.
fn guest_option(device: &Device, flavor: Option<&Flavor>) -> String {
    let mut net = String::new();
    if let (Some(address), Some(prefix)) = (device.address, device.prefix) {
        net += &format!(",ipv4={address}/{prefix}");
    }
    if let Some(gateway) = device.gateway {
        net += &format!(",ipv4-gateway={gateway}");
    }
    if let (Some(address), Some(prefix)) = (device.address6, device.prefix6) {
        net += &format!(",ipv6={address}/{prefix}");
    }
    if let Some(gateway) = device.gateway6 {
        net += &format!(",ipv6-gateway={gateway}");
    }
    if let Some(queue) = flavor.and_then(|f| f.queue) {
        net += &format!(",queue={queue}");
    }
    net
}
