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
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use switch::config::{Config, PortConfig};
use switch::control::{CallError, Client, Event, Request, Response};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How long the switch may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new one may take until it listens.
const BEGINNING: Duration = Duration::from_secs(5);
/// Before it is started again.
const PAUSE: Duration = Duration::from_millis(100);
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
        });
        let recorded: Option<SwitchProcess> = supervisor.store.fact(FACT)?;
        let process = match recorded.and_then(|f| Process::find(f.pid, f.began)) {
            Some(process) => Arc::new(process),
            None => supervisor.start().await?,
        };
        supervisor.apply()?;
        supervisor.set_process(process.clone());
        tokio::spawn(supervisor.clone().keep(process));
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
        let program = Program { path: &path, arguments: &arguments, folder: None, input: None, output: &to };
        let process = spawn(&program, None);
        let process = Arc::new(process.map_err(|e| Problem::host(format!("start the switch: {e}")))?);
        let deadline = tokio::time::Instant::now() + BEGINNING;
        while Client::connect(&self.socket()).is_err() {
            if process.is_over() || tokio::time::Instant::now() > deadline {
                process.signal(libc::SIGKILL);
                return Err(Problem::host("the switch does not start").hint(format!("see {}", log.display())));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.store.set_fact(FACT, &SwitchProcess { pid: process.pid, began: process.began })?;
        Ok(process)
    }

    /// Waits for its end, and starts another, for ever.
    async fn keep(self: Arc<Self>, mut process: Arc<Process>) {
        loop {
            process.ended().await;
            self.restarts.fetch_add(1, Ordering::Relaxed);
            self.events.emit("switch.ended", "switch", serde_json::json!({ "pid": process.pid }));
            loop {
                tokio::time::sleep(PAUSE).await;
                match self.start().await.and_then(|p| self.apply().map(|()| p)) {
                    Ok(new) => {
                        process = new;
                        break;
                    }
                    Err(e) => tracing::error!("the switch: {e}"),
                }
            }
            self.set_process(process.clone());
            self.events.emit("switch.started", "switch", serde_json::json!({ "pid": process.pid }));
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
            _ => Err(Problem::node("the switch answered something else")),
        }
    }

    /// Makes it what the store says, all at once.
    pub fn apply(&self) -> Result<(), Problem> {
        let Response::Config(now) = self.call(&Request::Config)? else {
            return Err(Problem::node("the switch answered something else"));
        };
        let mut config = Config { switch: now.switch, ..Config::default() };
        let mut networks = self.store.networks()?;
        // One whose namespace is gone, as another program's may be, must not keep the others from what they shall be.
        networks.retain(|network| !super::takeover::is_gone(network));
        for network in &networks {
            config.segments.insert(network.name.clone(), segment(network));
            config.ports.extend(own_ports(network));
        }
        let flavors = self.store.flavors()?;
        for row in self.store.instances()? {
            if row.instance.state == State::Waiting {
                let ports = row.instance.devices.iter().map(|d| (d.port.clone(), super::announced(d)));
                config.announced.extend(ports);
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
                config.ports.insert(device.port.clone(), instance_port(device, network, flavor, socket));
            }
        }
        self.call(&Request::Apply { config: Box::new(config), dry_run: false })?;
        for network in &networks {
            set_up_host_port(network)?;
        }
        Ok(())
    }

    /// Where a device meets its port.
    pub fn device_socket(&self, instance: uuid::Uuid, port: &str) -> PathBuf {
        let number = port.rsplit_once('-').map_or("0", |(_, number)| number);
        self.run.join("i").join(instance.to_string()).join(format!("net{number}.sock"))
    }

    /// A port for an instance's device; where the two meet.
    pub fn put(
        &self,
        instance: uuid::Uuid,
        device: &Device,
        network: &Network,
        flavor: Option<&Flavor>,
    ) -> Result<PathBuf, Problem> {
        let socket = self.device_socket(instance, &device.port);
        let port: Box<PortConfig> = Box::new(instance_port(device, network, flavor, socket.clone()));
        self.call(&Request::PutPort { name: device.port.clone(), port })?;
        Ok(socket)
    }

    /// Has packets for a device's address wait for its port, and be told of the first.
    pub fn announce(&self, device: &Device) -> Result<(), Problem> {
        let (name, announced) = (device.port.clone(), super::announced(device));
        self.call(&Request::Announce { name, announced }).map(drop)
    }

    /// An announced address less.
    pub fn withdraw(&self, port: &str) -> Result<(), Problem> {
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
        self.call(&Request::DeletePort { name: port.into() }).map(drop)
    }
}

fn set_up_host_port(network: &Network) -> Result<(), Problem> {
    let Some(host) = &network.host else { return Ok(()) };
    super::set_up(host).map_err(|e| Problem::host(format!("{}: {e}", host.tap)))
}
