//! `microvisor switch`: looks at a running switch and changes it. `port` has the options of a new port, `show` the tables
//! for people.

mod port;
mod show;

use crate::output::{self, Failure, json};
use clap::Subcommand;
use machine::status;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;
use switch_control::config::Config;
use switch_control::control::{CallError, Client, Request, Response, Status};

/// How long a switch may take to answer: a change may open many devices.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Arguments of `microvisor switch`.
#[derive(clap::Args)]
#[command(after_help = "Example: microvisor switch show")]
pub struct SwitchOptions {
    /// Control socket of the switch
    #[arg(long, global = true, default_value = "/run/microvisor/switch.sock", env = "MICROVISOR_SWITCH")]
    socket: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// What to do
    #[command(subcommand)]
    command: SwitchCommand,
}

#[derive(Subcommand)]
enum SwitchCommand {
    /// Show all ports
    #[command(after_help = "Example: microvisor switch show")]
    Show,
    /// Show, add or remove a port
    #[command(after_help = "Example: microvisor switch port show vm1")]
    Port {
        /// What to do
        #[command(subcommand)]
        command: PortCommand,
    },
    /// Show bonds and their links, with the state of LACP
    #[command(after_help = "Example: microvisor switch bond")]
    Bond {
        /// Name of a bond; all if left out
        name: Option<String>,
    },
    /// Show which addresses are behind which ports
    #[command(after_help = "Example: microvisor switch fdb --segment blue")]
    Fdb {
        /// Show this segment only
        #[arg(long)]
        segment: Option<String>,
    },
    /// Show counters, with every reason for which packets were dropped
    #[command(after_help = "Example: microvisor switch counters vm1")]
    Counters {
        /// Name of a port; all if left out
        port: Option<String>,
    },
    /// Write a port's packets to standard output as pcapng, until interrupted
    #[command(after_help = "Example: microvisor switch capture vm1 | tshark -r -")]
    Capture {
        /// Name of the port; the name of a bond captures all its links
        port: String,
        /// Most bytes to keep of each packet
        #[arg(long, default_value_t = 262_144)]
        snap: usize,
    },
    /// Apply a configuration file, all of it or nothing, and print what changed
    #[command(after_help = "Example: microvisor switch apply --dry-run switch.toml")]
    Apply {
        /// Configuration (TOML)
        file: PathBuf,
        /// Only print what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the present configuration
    #[command(after_help = "Example: microvisor switch config > switch.toml")]
    Config,
    /// Print events, one per line, until interrupted
    #[command(after_help = "Example: microvisor switch events")]
    Events,
}

#[derive(Subcommand)]
enum PortCommand {
    /// Show one port
    #[command(after_help = "Example: microvisor switch port show vm1")]
    Show {
        /// Name of the port
        name: String,
    },
    /// Add a port, or change the one of this name
    #[command(
        after_help = "Example: microvisor switch port add vm1 --vhost-user /run/vm1.sock --segment blue"
    )]
    Add(Box<port::NewPort>),
    /// Remove a port
    #[command(after_help = "Example: microvisor switch port remove vm1")]
    Remove {
        /// Name of the port
        name: String,
    },
}

fn refused(message: impl std::fmt::Display) -> Failure {
    Failure::new(message, status::CONFIGURATION_REFUSED)
}

/// Why the switch could not be asked, or what it refused.
fn failed(socket: &Path) -> impl Fn(CallError) -> Failure {
    move |e| match e {
        CallError::Refused(message) => refused(message),
        CallError::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(format!("{}: {e}", socket.display()), status::PERMISSION).hint("run as root")
        }
        CallError::Io(e)
            if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&e.kind()) =>
        {
            Failure::new(format!("no switch listens on {}", socket.display()), status::HOST)
                .hint("start one: microvisor-switch --config FILE; or name its socket: --socket PATH")
        }
        e => Failure::new(e, status::MONITOR),
    }
}

/// A connection to a switch.
struct Switch<'a> {
    client: Client,
    socket: &'a Path,
    json: bool,
}

impl<'a> Switch<'a> {
    fn connect(options: &'a SwitchOptions) -> Result<Self, Failure> {
        let client = Client::connect(&options.socket).map_err(failed(&options.socket))?;
        Ok(Self { client, socket: &options.socket, json: options.json })
    }

    fn call(&mut self, request: &Request) -> Result<Response, Failure> {
        self.client.call(request, TIMEOUT).map_err(failed(self.socket))
    }

    fn status(&mut self) -> Result<Box<Status>, Failure> {
        match self.call(&Request::Show)? {
            Response::Status(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    fn change(&mut self, request: &Request) -> Result<(), Failure> {
        match self.call(request)? {
            Response::Changed(diff) => self.print(&diff, || diff.to_string()),
            _ => Ok(()),
        }
    }

    fn print(&self, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { json(value) } else { output::print(text()) }
    }
}

fn unexpected() -> Failure {
    Failure::new("the switch gave an answer that does not fit", status::MONITOR)
}

/// `microvisor switch`
pub fn switch(options: &SwitchOptions) -> Result<(), Failure> {
    if let SwitchCommand::Apply { file, dry_run } = &options.command {
        // The file is checked before the switch is asked.
        let request = Request::Apply { config: Box::new(read(file)?), dry_run: *dry_run };
        return Switch::connect(options)?.change(&request);
    }
    let mut switch = Switch::connect(options)?;
    match &options.command {
        SwitchCommand::Show => {
            let status = switch.status()?;
            switch.print(&status, || show::ports(&status))?;
        }
        SwitchCommand::Port { command: PortCommand::Show { name } } => {
            let status = switch.status()?;
            let port = status.ports.iter().find(|p| p.name == *name);
            let port = port.ok_or_else(|| refused(format!("there is no port {name}")))?;
            switch.print(port, || show::port(port))?;
        }
        SwitchCommand::Port { command: PortCommand::Add(new) } => {
            let port = new.port().map_err(refused)?;
            let request = Request::PutPort { name: new.name().to_owned(), port: Box::new(port) };
            switch.change(&request)?;
        }
        SwitchCommand::Port { command: PortCommand::Remove { name } } => {
            switch.change(&Request::DeletePort { name: name.clone() })?;
        }
        SwitchCommand::Bond { name } => {
            let status = switch.status()?;
            let wanted = |p: &&switch_control::control::PortStatus| {
                p.bond.is_some() && name.as_ref().is_none_or(|n| *n == p.name)
            };
            let bonds: Vec<_> = status.ports.iter().filter(wanted).collect();
            if let (Some(name), true) = (name, bonds.is_empty()) {
                return Err(refused(format!("there is no bond {name}")));
            }
            switch.print(&bonds, || bonds.iter().map(|b| show::bond(b)).collect())?;
        }
        SwitchCommand::Fdb { segment } => {
            let Response::Addresses { mut addresses } = switch.call(&Request::Addresses)? else {
                return Err(unexpected());
            };
            addresses.retain(|a| segment.as_ref().is_none_or(|s| *s == a.segment));
            switch.print(&addresses, || show::addresses(&addresses))?;
        }
        SwitchCommand::Counters { port } => {
            let mut status = switch.status()?;
            status.ports.retain(|p| port.as_ref().is_none_or(|n| *n == p.name));
            if let (Some(port), true) = (port, status.ports.is_empty()) {
                return Err(refused(format!("there is no port {port}")));
            }
            switch.print(&status.ports, || show::counters(&status.ports))?;
        }
        SwitchCommand::Capture { port, snap } => capture(switch, port, *snap)?,
        SwitchCommand::Config => {
            let Response::Config(config) = switch.call(&Request::Config)? else {
                return Err(unexpected());
            };
            switch.print(&config, || toml::to_string_pretty(&config).unwrap_or_default())?;
        }
        SwitchCommand::Events => {
            switch.call(&Request::Events)?;
            loop {
                json(&switch.client.event(None).map_err(failed(switch.socket))?)?;
            }
        }
        SwitchCommand::Apply { .. } => {}
    }
    Ok(())
}

fn read(file: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| refused(format!("{}: {e}", file.display())))?;
    Config::from_toml(&text).map_err(|e| refused(format!("{}: {e}", file.display())))
}

fn capture(mut switch: Switch<'_>, port: &str, snap: usize) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(refused("a terminal cannot show pcapng")
            .hint("pipe it: microvisor switch capture PORT | tshark -r -; or keep it: ... > FILE.pcapng"));
    }
    switch.call(&Request::Capture { port: port.to_owned(), snap })?;
    let Switch { client, socket, .. } = switch;
    let mut packets = client.into_stream().map_err(failed(socket))?;
    let mut chunk = vec![0; 1 << 16];
    loop {
        match io::Read::read(&mut packets, &mut chunk) {
            // The switch has ended.
            Ok(0) => return Ok(()),
            Ok(n) => output::print(&chunk[..n])?,
            Err(e) => return Err(failed(socket)(CallError::Io(e))),
        }
    }
}
