//! Switches for tests, each with a folder of its own, ended with this.

use crate::net::Namespace;
use crate::{Outcome, eventually, finish, finish_within, program, run, signal, start, unique};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;
use switch::config::Config;
use switch::control::{Client, PortStatus, Request, Response, Status};
use switch::counters::Reason;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A running switch.
pub struct Switch {
    /// Its folder, for sockets.
    pub folder: PathBuf,
    process: Option<Child>,
}

impl Switch {
    /// Starts one with a configuration, in which `@` stands for its folder.
    #[track_caller]
    pub fn new(config: &str) -> Self {
        let folder = std::env::temp_dir().join(unique("sw"));
        std::fs::create_dir(&folder).expect("new");
        let mut new = Self { folder, process: None };
        new.start(config);
        new
    }

    /// Starts it again after it was killed.
    #[track_caller]
    pub fn start(&mut self, config: &str) {
        let file = self.folder.join("config.toml");
        std::fs::write(&file, self.here(config)).expect("written");
        let mut command = Command::new(program("microvisor-switch"));
        command.arg("--config").arg(&file).arg("--control").arg(self.control());
        self.process = Some(start(&mut command));
        eventually("the switch answers", || {
            Client::connect(&self.control()).is_ok_and(|mut c| c.call(&Request::Show, TIMEOUT).is_ok())
        });
    }

    /// A text in which `@` stands for its folder.
    pub fn here(&self, text: &str) -> String {
        text.replace('@', &self.folder.display().to_string())
    }

    /// Its control socket.
    pub fn control(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Asks it.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> Response {
        self.try_ask(request).unwrap_or_else(|e| panic!("{request:?}: {e}"))
    }

    /// Asks it; the words of its refusal.
    pub fn try_ask(&self, request: &Request) -> Result<Response, String> {
        let mut client = Client::connect(&self.control()).map_err(|e| e.to_string())?;
        client.call(request, TIMEOUT).map_err(|e| e.to_string())
    }

    /// Lets it be as a configuration says.
    #[track_caller]
    pub fn apply(&self, config: &str) {
        self.apply_config(&Config::from_toml(&self.here(config)).expect("a configuration"));
    }

    /// Its configuration.
    #[track_caller]
    pub fn config(&self) -> Config {
        match self.ask(&Request::Config) {
            Response::Config(config) => *config,
            other => panic!("{other:?}"),
        }
    }

    /// Lets it be as a configuration says.
    #[track_caller]
    pub fn apply_config(&self, config: &Config) {
        self.ask(&Request::Apply { config: Box::new(config.clone()), dry_run: false });
    }

    /// How it is.
    #[track_caller]
    pub fn status(&self) -> Status {
        match self.ask(&Request::Show) {
            Response::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// A port.
    #[track_caller]
    pub fn port(&self, name: &str) -> PortStatus {
        let ports = self.status().ports;
        ports.into_iter().find(|p| p.name == name).unwrap_or_else(|| panic!("no port {name}"))
    }

    /// How many packets a port has dropped for a reason.
    #[track_caller]
    pub fn dropped(&self, port: &str, reason: Reason) -> u64 {
        self.port(port).counters.drops.get(&reason).copied().unwrap_or(0)
    }

    /// Waits until a port is up.
    #[track_caller]
    pub fn is_up_soon(&self, port: &str) {
        eventually(&format!("port {port} is up"), || self.port(port).up);
    }

    /// Runs `microvisor switch`.
    pub fn command(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(program("microvisor"));
        run(command.args(["switch", "--socket"]).arg(self.control()).args(arguments))
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it as a person would; how it ended.
    pub fn end(&mut self) -> Outcome {
        let child = self.process.take().expect("it runs");
        signal(child.id(), "TERM");
        // The kernel takes some 20 ms to close each TAP while the host is busy, and a switch may have a thousand.
        finish_within(child, Duration::from_secs(60))
    }
}

/// The configuration of a port that is a TAP of the same name in a namespace, and what else it says.
pub fn tap(name: &str, host: &Namespace, rest: &str) -> String {
    let netns = &host.name;
    format!("[ports.{name}]\ndevice = {{ tap = {{ name = \"{name}\", netns = \"{netns}\" }} }}\n{rest}\n")
}

impl Drop for Switch {
    fn drop(&mut self) {
        if self.process.is_some() && !std::thread::panicking() {
            let outcome = self.end();
            assert_eq!(outcome.status, 0, "{outcome:?}");
            assert!(!outcome.err.contains("panicked"), "{outcome:?}");
            let left: Vec<_> = std::fs::read_dir(&self.folder)
                .expect("there")
                .flatten()
                .filter(|e| e.path().extension().is_some_and(|x| x == "sock"))
                .collect();
            assert!(left.is_empty(), "sockets are left: {left:?}");
        } else if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let outcome = finish(child);
            eprintln!("the switch said: {}", outcome.err);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
