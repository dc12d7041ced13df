//! `microvisor run`: everything is checked before anything is made, then one monitor is started and seen to its end.

use crate::images::{self, Config, Wanted};
use crate::instances::{Record, RunDirectory};
use crate::network::{self, TapOptions};
use crate::node::{self, NetworkOption, RestartOption};
use crate::output::{Event, Output};
use crate::process;
use crate::supervise::{self, Monitor};
use crate::vhost::SwitchOptions;
use clap::{Args, ValueEnum};
use click::Source;
use machine::error::Error;
use machine::timeline::{Phase, Tsc, unix_ns};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Options of `microvisor run`.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Click file, guest image, or name of a built-in image
    pub what: String,
    /// Configuration for the guest
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Net device on a TAP, made if absent: NAME[,KEY=VALUE ...]; repeat for more devices
    ///
    /// netns=NAME the namespace it is in; address=A/LEN the host's address; guest=A/LEN and gateway=A the
    /// guest's; mac=, mtu=, queue=ENTRIES, offload=on|off
    #[arg(long, value_name = "TAP")]
    pub tap: Vec<TapOptions>,
    /// Net device on a switch: vhost-user=SOCKET[,KEY=VALUE ...]; repeat for more devices, which come after those of
    /// --tap
    ///
    /// server=on to listen there for the switch, wait=SECONDS for it; guest=A/LEN, gateway=A, mac=, mtu=,
    /// queue=ENTRIES, offload=on|off
    #[arg(long, value_name = "SWITCH")]
    pub net: Vec<SwitchOptions>,
    /// Net device on a network of the node, which looks after the instance then: NAME[,KEY=VALUE ...]; repeat for more
    ///
    /// address=A the guest's, mac=, anti-spoofing=on|off (routers want it off)
    #[arg(long, value_name = "NETWORK")]
    pub network: Vec<NetworkOption>,
    /// Size by name, of an instance of the node
    #[arg(long, requires = "network")]
    pub flavor: Option<String>,
    /// When an instance of the node is started again: never, on-failure, always
    #[arg(long, requires = "network", value_name = "WHEN")]
    pub restart: Option<RestartOption>,
    /// Started by the first packet for it, and retired after so many seconds without one from it
    #[arg(long, value_name = "SECONDS", requires = "network", value_parser = clap::value_parser!(u32).range(1..))]
    pub on_demand: Option<u32>,
    /// Name of the instance [default: made from the file's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Guest memory in MiB [default: what the image asks for]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=vmm::options::MEMORY_MAXIMUM_MIB))]
    pub memory: Option<u64>,
    /// Value of a variable in the Click file, or word for the guest; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = word)]
    pub set: Vec<(String, String)>,
    /// How long an idle guest polls before it sleeps, in microseconds, or `always`
    #[arg(long, value_name = "US", default_value = "50")]
    pub poll: String,
    /// Say where the time of the start went
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "bars")]
    pub timeline: Option<TimelineForm>,
    /// Print events as JSON, one object a line, the console's output among them
    #[arg(long)]
    pub json: bool,
    /// Return once the guest is ready, and leave it running
    #[arg(long, short)]
    pub detach: bool,
}

/// How to show a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimelineForm {
    /// Bars in the terminal
    Bars,
    /// JSON
    Json,
}

fn word(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("is not NAME=VALUE".into()),
    }
}

/// Runs an instance; the exit status of the command.
pub fn run(o: &RunOptions, begun: Tsc) -> u8 {
    if !o.network.is_empty() {
        return node::run(o);
    }
    let output = Output { json: o.json, timeline: o.timeline };
    let started = match prepare(o, begun) {
        Ok(started) => started,
        Err(e) => return output.refused(&e.to_string(), e.hint(), e.status()),
    };
    if o.detach { supervise::detach(started, output) } else { supervise::foreground(started, output) }
}

/// Checks and makes all that a monitor is given.
fn prepare(o: &RunOptions, begun: Tsc) -> Result<Monitor, Error> {
    let understood = Tsc::now();
    let Wanted { image, config } = images::find(&o.what, o.config.as_deref())?;
    let memory = o.memory.map_or(image.note.memory_default, |mib| mib << 20);
    let devices = o.tap.len() + o.net.len();
    image.accepts(memory, devices, config.is_some())?;
    if let Some(config) = &config
        && image.config_format() == "click"
    {
        check_click(config, &o.set, devices)?;
    }
    let stem = Path::new(&o.what).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let directory = RunDirectory::take(o.name.as_deref(), &stem)?;
    let found = Tsc::now();
    let taps = o.tap.iter().map(network::open).collect::<Result<Vec<OwnedFd>, _>>()?;
    let connected = Tsc::now();

    let mut arguments: Vec<String> = vec!["--image".into(), absolute(&image.path)];
    let mut keep: Vec<OwnedFd> = Vec::new();
    if let Some(config) = &config {
        let file = memory_file(&config.bytes)?;
        arguments.extend(["--config".into(), format!("/proc/self/fd/{}", file.as_raw_fd())]);
        keep.push(file);
    }
    for (name, value) in &o.set {
        arguments.extend(["--set".into(), format!("{name}={value}")]);
    }
    for (tap, fd) in o.tap.iter().zip(&taps) {
        arguments.extend(["--net".into(), format!("fd={},{}", fd.as_raw_fd(), tap.device.join(","))]);
    }
    for net in &o.net {
        arguments.extend(["--net".into(), net.device.join(",")]);
    }
    keep.extend(taps);
    arguments.extend(["--memory".into(), (memory >> 20).max(1).to_string()]);
    arguments.extend(["--poll".into(), o.poll.clone()]);
    arguments.extend(["--control".into(), directory.socket().display().to_string()]);
    let record = Record {
        name: directory.name().into(),
        image: image.name(),
        config: config.map(|c| c.name),
        taps: o.tap.iter().map(|t| &t.name).chain(o.net.iter().map(|n| &n.device[0])).cloned().collect(),
        pid: 0,
        started_unix_ns: unix_ns(),
    };
    let phases = vec![
        (Phase::Request, begun, understood),
        (Phase::Image, understood, found),
        (Phase::Network, found, connected),
    ];
    Ok(Monitor { directory, record, image: image.path, arguments, keep, phases })
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Refuses a Click file before anything is made for it.
fn check_click(config: &Config, variables: &[(String, String)], taps: usize) -> Result<(), Error> {
    let text = std::str::from_utf8(&config.bytes).map_err(|e| {
        Error::Configuration(format!("{}: byte {} is not UTF-8 text", config.name, e.valid_up_to()))
    })?;
    let source = Source { name: &config.name, text };
    let checked = click::check(&source, variables)
        .map_err(|d| Error::Configuration(d.to_string().trim_end().to_owned()))?;
    let devices = checked.devices();
    if devices.len() > taps {
        return Err(Error::Configuration(format!(
            "{} uses {} ({}), and {} given; add --tap NAME or --net vhost-user=SOCKET for each",
            config.name,
            count(devices.len(), "net device"),
            devices.join(", "),
            match taps {
                0 => "none is".to_owned(),
                1 => "1 is".to_owned(),
                n => format!("{n} are"),
            },
        )));
    }
    Ok(())
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The configuration as it was checked, in a file that nobody can change.
fn memory_file(bytes: &[u8]) -> Result<OwnedFd, Error> {
    let file =
        process::memory_file().map_err(|source| Error::System { doing: "keep the configuration", source })?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes).map_err(|source| Error::System { doing: "keep the configuration", source })?;
    Ok(file.into())
}

/// Events of a start, in the order they are printed.
pub fn started(record: &Record) -> Event<'_> {
    Event::Started { name: &record.name, pid: record.pid, image: &record.image }
}
