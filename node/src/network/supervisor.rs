//! Keeps a switch running: finds the one that a former daemon has left, starts another when it ends, and tells it what it
//! shall be.

use super::{instance_port, own_ports, segment};
use crate::events::Events;
use crate::process::spawn::{Program, spawn};
use crate::process::{Process, program};
use crate::settings::Settings;
use crate::store::Store;
use api::Problem;
use api::flavor::Flavor;
use api::instance::{Device, State};
use api::network::Network;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use switch::config::{AnnouncedConfig, Config, PortConfig};
use switch::control::{CallError, Client, Event, Request, Response};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How long the switch may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new one may take until it listens.
const BEGINNING: Duration = Duration::from_secs(5);
/// Before it is started again.
const PAUSE: Duration = Duration::from_millis(100);
/// Before a switch that ended is known to have.
const UP_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a change waits for a switch that is being started again.
const RESTART: Duration = Duration::from_secs(5);
/// How long a switch that answers no more may take to end, when the node begins.
const ENDING: Duration = Duration::from_secs(1);
/// Switches that are tried when the node begins.
const TRIES: u32 = 3;
const FACT: &str = "switch";

/// What is written down of it.
#[derive(Serialize, Deserialize)]
struct SwitchProcess {
    pid: u32,
    began: u64,
}

/// The switch as the node runs it.
pub struct SwitchSupervisor {
    store: Arc<Store>,
    events: Arc<Events>,
    run: PathBuf,
    cpus: Vec<usize>,
    client: Mutex<Option<Client>>,
    process: Mutex<Option<Arc<Process>>>,
    restarts: AtomicU32,
    /// Whether there is a switch that has been told what it shall be.
    up: (Mutex<bool>, Condvar),
    /// Locked while a change of them is sent to the switch: it gets changes in the order in which they are made.
    instances: Mutex<InstancePorts>,
}

/// What instances have on the switch, by the names of their ports.
#[derive(Default)]
struct InstancePorts {
    ports: BTreeMap<String, PortConfig>,
    /// Addresses without a port, whose first packet starts an instance.
    announced: BTreeMap<String, AnnouncedConfig>,
}

/// The switch that the store says was started, if it still runs.
pub fn recorded_switch(store: &Store) -> Result<Option<Process>, Problem> {
    let recorded: Option<SwitchProcess> = store.fact(FACT)?;
    Ok(recorded.and_then(|f| Process::find(f.pid, f.began)))
}

impl SwitchSupervisor {
    /// Finds or starts the switch.
    pub async fn begin(
        settings: &Settings,
        store: Arc<Store>,
        events: Arc<Events>,
    ) -> Result<Arc<Self>, Problem> {
        let supervisor = Arc::new(Self {
            store,
            events,
            run: settings.run().to_owned(),
            cpus: settings.switch_cpus.clone(),
            client: Mutex::new(None),
            process: Mutex::new(None),
            restarts: AtomicU32::new(0),
            up: (Mutex::new(true), Condvar::new()),
            instances: Mutex::default(),
        });
        supervisor.reapply()?;
        let mut recorded = recorded_switch(&supervisor.store)?.map(Arc::new);
        let mut tries = TRIES;
        let process = loop {
            let process = match recorded.take() {
                Some(process) => process,
                None => supervisor.adopt_or_start().await?,
            };
            let Err(e) = supervisor.apply_now(None) else { break process };
            // One that was killed a moment ago may still have taken the connection.
            let ended = tokio::time::timeout(ENDING, process.ended()).await.is_ok();
            tries -= 1;
            if !ended || tries == 0 {
                return Err(e);
            }
        };
        supervisor.set_process(process.clone());
        tokio::spawn(supervisor.clone().supervise(process));
        Ok(supervisor)
    }

    fn set_process(&self, process: Arc<Process>) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|p| p.pid)
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Its control socket.
    fn socket(&self) -> PathBuf {
        self.run.join("switch.sock")
    }

    /// A switch that listens already and that the store does not know is adopted: a second could not listen beside it.
    async fn adopt_or_start(&self) -> Result<Arc<Process>, Problem> {
        let connected = tokio::net::UnixStream::connect(self.socket()).await;
        let pid = connected.ok().and_then(|stream| stream.peer_cred().ok()?.pid());
        let listening = pid.and_then(|pid| Process::open_any(pid.unsigned_abs())).filter(|p| !p.is_over());
        let Some(process) = listening else { return self.start().await };
        tracing::warn!(pid = process.pid, "a switch that listens already is adopted");
        self.store.set_fact(FACT, &SwitchProcess { pid: process.pid, began: process.began })?;
        Ok(Arc::new(process))
    }

    async fn start(&self) -> Result<Arc<Process>, Problem> {
        let log = self.run.join("switch.log");
        let cannot = |path: &Path, e: std::io::Error| Problem::host(format!("{}: {e}", path.display()));
        let to = File::options().append(true).create(true).open(&log).map_err(|e| cannot(&log, e))?;
        // What concerns its threads is fixed while it runs.
        let begins = self.run.join("switch.toml");
        let cpus: Vec<String> = self.cpus.iter().map(ToString::to_string).collect();
        let text = format!("[switch]\nthreads = {}\ncpus = [{}]\n", cpus.len().max(1), cpus.join(", "));
        std::fs::write(&begins, text).map_err(|e| cannot(&begins, e))?;
        let (path, socket) = (program("microvisor-switch"), self.socket());
        let arguments = ["--config".as_ref(), begins.as_os_str(), "--control".as_ref(), socket.as_os_str()];
        let program =
            Program { path: &path, arguments: &arguments, input: None, output: &to, descriptors: &[] };
        let process = spawn(&program, None);
        let process = Arc::new(process.map_err(|e| Problem::host(format!("start the switch: {e}")))?);
        let deadline = tokio::time::Instant::now() + BEGINNING;
        while Client::connect(&self.socket()).is_err() {
            if process.is_over() || tokio::time::Instant::now() > deadline {
                process.signal(libc::SIGKILL);
                return Err(
                    Problem::host("the switch cannot be started").hint(format!("see {}", log.display()))
                );
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.store.set_fact(FACT, &SwitchProcess { pid: process.pid, began: process.began })?;
        Ok(process)
    }

    /// Waits for its end, and starts another, for ever.
    async fn supervise(self: Arc<Self>, mut process: Arc<Process>) {
        loop {
            process.ended().await;
            self.set_up(false);
            self.restarts.fetch_add(1, Ordering::Relaxed);
            self.events.emit("switch.ended", "switch", serde_json::json!({ "pid": process.pid }));
            loop {
                tokio::time::sleep(PAUSE).await;
                match self.adopt_or_start().await.and_then(|p| self.apply_now(None).map(|()| p)) {
                    Ok(new) => {
                        process = new;
                        break;
                    }
                    Err(e) => tracing::error!("the switch: {e}"),
                }
            }
            self.set_process(process.clone());
            self.set_up(true);
            self.events.emit("switch.started", "switch", serde_json::json!({ "pid": process.pid }));
        }
    }

    fn set_up(&self, up: bool) {
        *self.up.0.lock().unwrap_or_else(PoisonError::into_inner) = up;
        self.up.1.notify_all();
    }

    /// Waits for a switch that is being started again, and has not been told everything yet.
    fn wait_up(&self) {
        tokio::task::block_in_place(|| {
            let up = self.up.0.lock().unwrap_or_else(PoisonError::into_inner);
            // One that takes longer is asked, and is an error.
            drop(self.up.1.wait_timeout_while(up, RESTART, |up| !*up));
        });
    }

    /// Makes a change, once more if the switch has ended meanwhile. Between the two no lock is held that the new switch's
    /// first configuration needs.
    fn change<T>(&self, make: impl Fn() -> Result<T, Problem>) -> Result<T, Problem> {
        self.wait_up();
        match make() {
            Err(e) if e.kind.ends_with(":node") => {
                tracing::info!("the switch is asked again: {e}");
                tokio::task::block_in_place(|| std::thread::sleep(UP_CHECK_INTERVAL));
                self.wait_up();
                make()
            }
            outcome => outcome,
        }
    }

    /// Asks the switch; once more on a new connection if the old one is broken.
    fn call(&self, request: &Request) -> Result<Response, Problem> {
        tokio::task::block_in_place(|| {
            let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(c) = client.as_mut() {
                match c.call(request, TIMEOUT) {
                    Ok(response) => return Ok(response),
                    Err(e @ CallError::Refused(_)) => return Err(e.into()),
                    Err(_) => *client = None,
                }
            }
            let mut new = Client::connect(&self.socket())?;
            let response = new.call(request, TIMEOUT);
            // A connection whose answer is still to come would give it to the next caller.
            if matches!(response, Ok(_) | Err(CallError::Refused(_))) {
                *client = Some(new);
            }
            Ok(response?)
        })
    }

    /// How it is.
    pub fn status(&self) -> Result<switch::control::Status, Problem> {
        match self.call(&Request::Show)? {
            Response::Status(status) => Ok(*status),
            _ => Err(Problem::node("the switch sent an unexpected answer")),
        }
    }

    fn instances(&self) -> MutexGuard<'_, InstancePorts> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it what the store and the instances' ports say; see [`SwitchSupervisor::apply_now`].
    pub fn apply(&self, essential: Option<&str>) -> Result<(), Problem> {
        self.change(|| self.apply_now(essential))
    }

    /// Makes it what the store and the instances' ports say, all at once. A network whose interfaces or namespaces are
    /// gone is without its own ports then, unless it is the one named: without those it is refused.
    fn apply_now(&self, essential: Option<&str>) -> Result<(), Problem> {
        // Held until the switch has it: no port is put or deleted between the snapshot and its use.
        let instances = self.instances();
        let Response::Config(now) = self.call(&Request::Config)? else {
            return Err(Problem::node("the switch sent an unexpected answer"));
        };
        let mut config = Config { switch: now.switch, ..Config::default() };
        let networks = self.store.networks()?;
        for network in &networks {
            config.segments.insert(network.name.clone(), segment(network));
        }
        config.ports.extend(own_ports(&networks));
        let is_there = |network: &String| networks.iter().any(|n| n.name == *network);
        for (name, port) in &instances.ports {
            if port.segment.as_ref().is_some_and(is_there) {
                config.ports.insert(name.clone(), port.clone());
            }
        }
        for (name, announced) in &instances.announced {
            if is_there(&announced.segment) {
                config.announced.insert(name.clone(), announced.clone());
            }
        }
        if let Err(e) = self.call(&Request::Apply { config: Box::new(config.clone()), dry_run: false }) {
            let others = networks.iter().filter(|n| Some(n.name.as_str()) != essential);
            let degraded: Vec<(&Network, String)> =
                others.filter_map(|n| super::what_is_missing(n).map(|missing| (n, missing))).collect();
            if degraded.is_empty() {
                return Err(e);
            }
            for port in own_ports(&networks).keys() {
                config.ports.remove(port);
            }
            let mut there = networks.clone();
            for (network, missing) in &degraded {
                self.degraded(network, missing);
                there.retain(|n| n.name != network.name);
            }
            config.ports.extend(own_ports(&there));
            self.call(&Request::Apply { config: Box::new(config), dry_run: false })?;
        }
        drop(instances);
        for network in &networks {
            match set_up_host_port(network) {
                Err(e) if Some(network.name.as_str()) == essential => return Err(e),
                Err(e) => self.degraded(network, &e.detail),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Says that a network has lost an interface; the rest works.
    fn degraded(&self, network: &Network, reason: &str) {
        tracing::warn!(network = network.name, "degraded: {reason}");
        self.events.emit("network.degraded", &network.name, serde_json::json!({ "reason": reason }));
    }

    /// Takes in the ports of instances that a former daemon has left.
    fn reapply(&self) -> Result<(), Problem> {
        let (networks, flavors) = (self.store.networks()?, self.store.flavors()?);
        let mut instances = self.instances();
        for row in self.store.instances()? {
            if row.instance.state == State::Waiting {
                let announced = row.instance.devices.iter().map(|d| (d.port.clone(), super::announced(d)));
                instances.announced.extend(announced);
            }
            let Some(running) = &row.running else { continue };
            if !self.run.join("i").join(row.instance.id.to_string()).is_dir() {
                // The host was started again, or somebody removed the folder: its actor finds out that it has ended.
                continue;
            }
            let flavor = running.flavor.as_ref();
            let flavor = flavor.or_else(|| {
                let name = row.spec.flavor.as_ref()?;
                flavors.iter().find(|f| f.name == *name)
            });
            for device in &row.instance.devices {
                let Some(network) = networks.iter().find(|n| n.name == device.network) else { continue };
                let socket = self.device_socket(row.instance.id, &device.port);
                let port = instance_port(device, network, flavor, socket, running.listens);
                instances.ports.insert(device.port.clone(), port);
            }
        }
        Ok(())
    }

    /// Where a device meets its port.
    pub fn device_socket(&self, instance: uuid::Uuid, port: &str) -> PathBuf {
        let number = port.rsplit_once('-').map_or("0", |(_, number)| number);
        self.run.join("i").join(instance.to_string()).join(format!("net{number}.sock"))
    }

    /// A port for an instance's device. The device's socket listens already.
    pub fn put(
        &self,
        instance: uuid::Uuid,
        device: &Device,
        network: &Network,
        flavor: Option<&Flavor>,
    ) -> Result<(), Problem> {
        let socket = self.device_socket(instance, &device.port);
        let port = instance_port(device, network, flavor, socket, true);
        let name = &device.port;
        self.change(|| {
            let mut instances = self.instances();
            instances.ports.insert(name.clone(), port.clone());
            let announced = instances.announced.remove(name);
            let outcome = self.call(&Request::PutPort { name: name.clone(), port: Box::new(port.clone()) });
            if outcome.is_err() {
                instances.ports.remove(name);
                instances.announced.extend(announced.map(|a| (name.clone(), a)));
            }
            outcome.map(drop)
        })
    }

    /// Has packets for a device's address wait for its port, and be told of the first.
    pub fn announce(&self, device: &Device) -> Result<(), Problem> {
        let (name, announced) = (device.port.clone(), super::announced(device));
        self.change(|| {
            let mut instances = self.instances();
            instances.announced.insert(name.clone(), announced.clone());
            let outcome = self.call(&Request::Announce { name: name.clone(), announced: announced.clone() });
            if outcome.is_err() {
                instances.announced.remove(&name);
            }
            outcome.map(drop)
        })
    }

    /// An announced address less.
    pub fn withdraw(&self, port: &str) -> Result<(), Problem> {
        let mut instances = self.instances();
        // What could not be withdrawn now is not there after the next change.
        instances.announced.remove(port);
        self.call(&Request::Withdraw { name: port.into() }).map(drop)
    }

    /// Tells which announced ports are wanted, for ever, from a thread of its own.
    pub fn listen(&self) -> UnboundedReceiver<String> {
        let (to, wanted) = unbounded_channel();
        let socket = self.socket();
        std::thread::spawn(move || {
            loop {
                let listening =
                    Client::connect(&socket).and_then(|mut c| c.call(&Request::Events, TIMEOUT).map(|_| c));
                let mut client = listening.ok();
                // What was wanted before this side listened.
                let waiting = Client::connect(&socket).and_then(|mut c| c.call(&Request::Show, TIMEOUT));
                if let Ok(Response::Status(status)) = waiting {
                    for held in status.held.into_iter().filter(|h| h.packets > 0) {
                        if to.send(held.announced).is_err() {
                            return;
                        }
                    }
                }
                while let Some(Ok(event)) = client.as_mut().map(|c| c.event(None)) {
                    if let Event::Wanted { announced } = event
                        && to.send(announced).is_err()
                    {
                        return;
                    }
                }
                std::thread::sleep(PAUSE);
            }
        });
        wanted
    }

    /// A port less.
    pub fn delete(&self, port: &str) -> Result<(), Problem> {
        let mut instances = self.instances();
        instances.ports.remove(port);
        self.call(&Request::DeletePort { name: port.into() }).map(drop)
    }
}

fn set_up_host_port(network: &Network) -> Result<(), Problem> {
    let Some(host) = &network.host else { return Ok(()) };
    super::set_up(host).map_err(|e| Problem::host(format!("{}: {e}", host.tap)))
}
