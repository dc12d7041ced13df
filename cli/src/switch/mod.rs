//! `microvisor switch`: looks at a running switch and changes it. `port` has the options of a new port, `show` the tables
//! for people.

mod port;
mod show;

use crate::output::{complain, json};
use clap::Subcommand;
use machine::status;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use switch::config::Config;
use switch::control::{CallError, Client, Request, Response, Status};

/// Longest that a switch takes to answer: a change may open many devices.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `microvisor switch`.
#[derive(clap::Args)]
pub struct SwitchOptions {
    /// Control socket of the switch
    #[arg(long, global = true, default_value = "/run/microvisor/switch.sock", env = "MICROVISOR_SWITCH")]
    socket: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: SwitchCommand,
}

#[derive(Subcommand)]
enum SwitchCommand {
    /// Show all ports
    Show,
    /// Show, add or remove a port
    Port {
        #[command(subcommand)]
        command: PortCommand,
    },
    /// Show bonds and their links, with what LACP knows
    Bond {
        /// Name of a bond; all if left out
        name: Option<String>,
    },
    /// Show which addresses are behind which ports
    Fdb {
        /// Only this segment
        #[arg(long)]
        segment: Option<String>,
    },
    /// Show counters, with every reason for a dropped packet
    Counters {
        /// Name of a port; all if left out
        port: Option<String>,
    },
    /// Write a port's packets to standard output as pcapng, until interrupted
    #[command(after_help = "Example: microvisor switch capture vm1 | tshark -r -")]
    Capture {
        /// Name of the port; a bond stands for all its links
        port: String,
        /// Bytes of each packet
        #[arg(long, default_value_t = 262_144)]
        snap: usize,
    },
    /// Make the switch be as a file says, all at once or not at all, and print what changed
    Apply {
        /// Configuration (TOML)
        file: PathBuf,
        /// Only print what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the configuration as it is
    Config,
    /// Print what happens, one line an event, until interrupted
    Events,
}

#[derive(Subcommand)]
enum PortCommand {
    /// Show one port
    Show {
        /// Its name
        name: String,
    },
    /// Add a port, or change the one that has this name
    Add(Box<port::NewPort>),
    /// Remove a port
    Remove {
        /// Its name
        name: String,
    },
}

enum Failed {
    Call(CallError),
    Said { message: String, hint: Option<&'static str>, status: u8 },
}

impl From<CallError> for Failed {
    fn from(e: CallError) -> Self {
        Failed::Call(e)
    }
}

fn refused(message: String) -> Failed {
    Failed::Said { message, hint: None, status: status::CONFIGURATION_REFUSED }
}

/// Does what is asked; the exit status.
pub fn switch(options: &SwitchOptions) -> u8 {
    match obey(options) {
        Ok(()) => 0,
        Err(Failed::Said { message, hint, status }) => {
            complain(&message, hint);
            status
        }
        Err(Failed::Call(CallError::Refused(message))) => {
            complain(&message, None);
            status::CONFIGURATION_REFUSED
        }
        Err(Failed::Call(CallError::Io(e))) if e.kind() == io::ErrorKind::PermissionDenied => {
            complain(&format!("{}: {e}", options.socket.display()), Some("run as root"));
            status::PERMISSION
        }
        Err(Failed::Call(CallError::Io(e)))
            if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&e.kind()) =>
        {
            let message = format!("no switch listens on {}", options.socket.display());
            complain(
                &message,
                Some("start one: microvisor-switch --config FILE; or name its socket: --socket PATH"),
            );
            status::HOST
        }
        Err(Failed::Call(e)) => {
            complain(&e.to_string(), None);
            status::MONITOR
        }
    }
}

fn obey(options: &SwitchOptions) -> Result<(), Failed> {
    let as_json = options.json;
    let mut client = match &options.command {
        // A file that is no configuration is no matter for the switch.
        SwitchCommand::Apply { file, dry_run } => {
            let config = read(file)?;
            let request = Request::Apply { config: Box::new(config), dry_run: *dry_run };
            return change(&mut Client::connect(&options.socket)?, &request, as_json);
        }
        _ => Client::connect(&options.socket)?,
    };
    match &options.command {
        SwitchCommand::Show => {
            let status = status_of(&mut client)?;
            print(as_json, &status, || show::ports(&status));
        }
        SwitchCommand::Port { command: PortCommand::Show { name } } => {
            let status = status_of(&mut client)?;
            let port = status.ports.iter().find(|p| p.name == *name);
            let port = port.ok_or_else(|| refused(format!("there is no port {name}")))?;
            print(as_json, port, || show::port(port));
        }
        SwitchCommand::Port { command: PortCommand::Add(new) } => {
            let port = new.port().map_err(refused)?;
            let request = Request::PutPort { name: new.name().to_owned(), port: Box::new(port) };
            change(&mut client, &request, as_json)?;
        }
        SwitchCommand::Port { command: PortCommand::Remove { name } } => {
            change(&mut client, &Request::DeletePort { name: name.clone() }, as_json)?;
        }
        SwitchCommand::Bond { name } => {
            let status = status_of(&mut client)?;
            let wanted = |p: &&switch::control::PortStatus| {
                p.bond.is_some() && name.as_ref().is_none_or(|n| *n == p.name)
            };
            let bonds: Vec<_> = status.ports.iter().filter(wanted).collect();
            if let (Some(name), true) = (name, bonds.is_empty()) {
                return Err(refused(format!("there is no bond {name}")));
            }
            print(as_json, &bonds, || bonds.iter().map(|b| show::bond(b)).collect());
        }
        SwitchCommand::Fdb { segment } => {
            let Response::Addresses { mut addresses } = client.call(&Request::Addresses, PATIENCE)? else {
                return Err(refused("the switch gave another answer than was asked for".into()));
            };
            addresses.retain(|a| segment.as_ref().is_none_or(|s| *s == a.segment));
            print(as_json, &addresses, || show::addresses(&addresses));
        }
        SwitchCommand::Counters { port } => {
            let mut status = status_of(&mut client)?;
            status.ports.retain(|p| port.as_ref().is_none_or(|n| *n == p.name));
            if let (Some(port), true) = (port, status.ports.is_empty()) {
                return Err(refused(format!("there is no port {port}")));
            }
            print(as_json, &status.ports, || show::counters(&status.ports));
        }
        SwitchCommand::Capture { port, snap } => capture(client, port, *snap)?,
        SwitchCommand::Config => {
            let Response::Config(config) = client.call(&Request::Config, PATIENCE)? else {
                return Err(refused("the switch gave another answer than was asked for".into()));
            };
            print(as_json, &config, || toml::to_string_pretty(&config).unwrap_or_default());
        }
        SwitchCommand::Events => {
            client.call(&Request::Events, PATIENCE)?;
            loop {
                json(&client.event(None)?);
            }
        }
        SwitchCommand::Apply { .. } => {}
    }
    Ok(())
}

fn status_of(client: &mut Client) -> Result<Box<Status>, Failed> {
    match client.call(&Request::Show, PATIENCE)? {
        Response::Status(status) => Ok(status),
        _ => Err(refused("the switch gave another answer than was asked for".into())),
    }
}

fn read(file: &Path) -> Result<Config, Failed> {
    let text = std::fs::read_to_string(file).map_err(|e| refused(format!("{}: {e}", file.display())))?;
    Config::from_toml(&text).map_err(|e| refused(format!("{}: {e}", file.display())))
}

fn change(client: &mut Client, request: &Request, as_json: bool) -> Result<(), Failed> {
    if let Response::Changed(diff) = client.call(request, PATIENCE)? {
        print(as_json, &diff, || diff.to_string());
    }
    Ok(())
}

fn print(as_json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) {
    if as_json {
        json(value);
    } else {
        // A reader that is gone wants no more.
        let _ = io::stdout().lock().write_all(text().as_bytes());
    }
}

fn capture(mut client: Client, port: &str, snap: usize) -> Result<(), Failed> {
    if io::stdout().is_terminal() {
        return Err(Failed::Said {
            message: "pcapng is nothing for a terminal".into(),
            hint: Some(
                "read it: microvisor switch capture PORT | tshark -r -; or keep it: ... > FILE.pcapng",
            ),
            status: status::CONFIGURATION_REFUSED,
        });
    }
    client.call(&Request::Capture { port: port.to_owned(), snap }, PATIENCE)?;
    let mut packets = client.into_stream()?;
    let mut out = io::stdout().lock();
    let mut chunk = vec![0; 1 << 16];
    loop {
        let n = io::Read::read(&mut packets, &mut chunk).map_err(CallError::Io)?;
        // The switch has ended, or nobody reads any more.
        if n == 0 || out.write_all(&chunk[..n]).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
}
