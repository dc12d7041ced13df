//! Commands that talk to the node.
#![expect(clippy::result_large_err, reason = "problems are seldom, and say a lot")]

use crate::images::Config;
use crate::output;
use crate::run::RunOptions;
use clap::{Args, Subcommand};
use hyper::Method;
use machine::status;
use machine::timeline::unix_ns;
use node::api::access::{Role, Secret, Token};
use node::api::instances::Instances;
use node::api::timelines::Statistics;
use node::client::{Body, Client};
use node::model::{
    DeviceSpec, Event, HostPort, Image, Instance, InstanceSpec, Network, OnDemand, Restart, Timeline, Uplink,
};
use node::problem::Problem;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

/// A net device on one of the node's networks.
#[derive(Clone, Debug)]
pub struct NetworkOption(DeviceSpec);

impl FromStr for NetworkOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let network = parts.next().filter(|n| !n.is_empty()).ok_or("names no network")?;
        let mut device = DeviceSpec { network: network.into(), ..DeviceSpec::default() };
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not KEY=VALUE"))?;
            let wrong = || format!("{key}: {value:?} will not do");
            match key {
                "address" => device.address = Some(value.parse().map_err(|_| wrong())?),
                "mac" => device.mac = Some(value.parse().map_err(|_| wrong())?),
                "anti-spoofing" => device.anti_spoofing = Some(on(value).ok_or_else(wrong)?),
                _ => return Err(format!("{key:?} is none of address, mac, anti-spoofing")),
            }
        }
        Ok(Self(device))
    }
}

fn on(value: &str) -> Option<bool> {
    match value {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// What can be done with networks.
#[derive(Clone, Debug, Subcommand)]
pub enum NetCommand {
    /// List networks
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create a network
    Create(Box<NetworkOptions>),
    /// Delete networks that no instance is on
    Rm {
        /// Names of networks
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Options of `microvisor net create`.
#[derive(Args, Clone, Debug)]
pub struct NetworkOptions {
    /// Name of the network
    name: String,
    /// Subnet that instances get addresses from, 10.0.0.0/24
    #[arg(long)]
    subnet: Option<ipnet::Ipv4Net>,
    /// Default gateway of instances
    #[arg(long)]
    gateway: Option<std::net::Ipv4Addr>,
    /// TAP of the host on it
    #[arg(long, value_name = "TAP")]
    host: Option<String>,
    /// The host's address there, with the length of its prefix
    #[arg(long, value_name = "A/LEN", requires = "host")]
    address: Option<ipnet::Ipv4Net>,
    /// Namespace of the TAP
    #[arg(long, requires = "host")]
    netns: Option<String>,
    /// Interface that the network goes on behind; several are a bond
    #[arg(long, value_name = "INTERFACE")]
    uplink: Vec<String>,
    /// How several work together
    #[arg(long, requires = "uplink", value_parser = bond_mode, value_name = "active-backup|balance-xor|broadcast|802.3ad")]
    bond: Option<::switch::config::BondMode>,
    /// A wire between two ports: nothing is learned, everything passes
    #[arg(long)]
    point_to_point: bool,
    /// Largest packet, bytes
    #[arg(long, default_value_t = 1500)]
    mtu: u16,
}

fn bond_mode(text: &str) -> Result<::switch::config::BondMode, String> {
    serde_json::from_value(text.into()).map_err(|_| "is no way for links to work together".into())
}

/// What can be done with images.
#[derive(Clone, Debug, Subcommand)]
pub enum ImageCommand {
    /// List images
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Import an image
    Import {
        /// The image: a file, or http(s)://, which the node fetches itself
        file: PathBuf,
        /// Its name [default: the file's]
        #[arg(long)]
        name: Option<String>,
        /// The SHA-256 that it must have, in hexadecimal
        #[arg(long, value_name = "SHA256")]
        id: Option<String>,
    },
    /// Delete imported images
    Rm {
        /// Names of images
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// What can be done with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for the API over TCP, and print it; it is shown this once
    Create {
        /// Its name
        name: String,
        /// What it is good for: read, operate, admin
        #[arg(long, default_value = "read")]
        role: RoleOption,
    },
    /// List tokens
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete tokens
    Rm {
        /// Names of tokens
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// A role on the command line.
#[derive(Clone, Copy, Debug)]
pub struct RoleOption(Role);

impl FromStr for RoleOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(text.into()).map(Self).map_err(|_| "is none of read, operate, admin".into())
    }
}

fn failed(problem: &Problem) -> u8 {
    output::complain(&problem.detail, problem.hint.as_deref());
    match problem.kind.strip_prefix("urn:microvisor:").unwrap_or_default() {
        "invalid" | "configuration" => status::CONFIGURATION_REFUSED,
        "absent" | "taken" | "conflict" | "host" => status::HOST,
        _ => status::MONITOR,
    }
}

fn done(outcome: Result<(), Problem>) -> u8 {
    outcome.map_or_else(|e| failed(&e), |()| 0)
}

/// `microvisor node`: becomes the daemon.
pub fn daemon(arguments: &[std::ffi::OsString]) -> u8 {
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent).map(|folder| folder.join("microvisor-node"));
    let program = beside.filter(|p| p.is_file()).unwrap_or_else(|| "microvisor-node".into());
    let e = Command::new(&program).args(arguments).exec();
    output::complain(
        &format!("cannot start {}: {e}", program.display()),
        Some("microvisor-node is installed beside microvisor, or is on the PATH"),
    );
    status::HOST
}

/// `microvisor run --network`: an instance of the node.
pub fn run(o: &RunOptions) -> u8 {
    match create(o) {
        Ok(instance) => {
            if o.json {
                output::json(&instance);
            } else {
                let addresses: Vec<String> =
                    instance.devices.iter().filter_map(|d| d.address).map(|a| a.to_string()).collect();
                let ready =
                    instance.ready_ns.map_or(String::new(), |ns| format!(" in {:.1} ms", ns as f64 / 1e6));
                println!("{} {}{ready} {}", instance.name, instance.state.name(), addresses.join(" "));
            }
            0
        }
        Err(e) => failed(&e),
    }
}

fn create(o: &RunOptions) -> Result<Instance, Problem> {
    if !o.tap.is_empty() || !o.net.is_empty() {
        return Err(Problem::invalid(
            "--network is for instances of the node, --tap and --net for those without",
        ));
    }
    let client = Client::required()?;
    let is_click = Path::new(&o.what).extension().is_some_and(|e| e == "click");
    let file = if is_click { Some(Path::new(&o.what)) } else { o.config.as_deref() };
    let config = file.map(Config::read).transpose()?.map(|c| String::from_utf8_lossy(&c.bytes).into_owned());
    let stem = Path::new(&o.what).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let spec = InstanceSpec {
        name: o.name.clone().or_else(|| is_click.then_some(stem)),
        image: if is_click { "clickos".into() } else { o.what.clone() },
        config,
        variables: o.set.iter().cloned().collect(),
        flavor: o.flavor.clone(),
        memory_mib: o.memory,
        devices: o.network.iter().map(|n| n.0.clone()).collect(),
        labels: Default::default(),
        restart: o.restart.map_or(Restart::Never, |r| r.0),
        on_demand: o.on_demand.map(|idle_s| OnDemand { idle_s }),
    };
    client.post("/v1/instances", &spec)
}

/// A restart policy on the command line.
#[derive(Clone, Copy, Debug)]
pub struct RestartOption(Restart);

impl FromStr for RestartOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(text.into())
            .map(Self)
            .map_err(|_| "is none of never, on-failure, always".into())
    }
}

/// All instances of the node; none if there is no node.
pub fn instances() -> Vec<Instance> {
    let Some(client) = Client::find() else { return Vec::new() };
    let mut all: Vec<Instance> = Vec::new();
    let mut after = String::new();
    while let Ok(page) = client.get::<Instances>(&format!("/v1/instances?limit=1000&after={after}")) {
        all.extend(page.instances);
        match page.next {
            Some(next) => after = next.to_string(),
            None => break,
        }
    }
    all
}

/// The control socket of an instance of the node.
pub fn socket(name: &str) -> Option<PathBuf> {
    let client = Client::find()?;
    let instance: Instance = client.get(&path(name, "")).ok()?;
    Some(client.run_folder()?.join("i").join(instance.id.to_string()).join("control.sock"))
}

fn path(name: &str, rest: &str) -> String {
    // Names that are none are not sent: they would be other paths.
    let name = if node::model::is_name(name) { name } else { "-" };
    format!("/v1/instances/{name}{rest}")
}

/// Whether the node has an instance of this name.
pub fn has(name: &str) -> bool {
    Client::find().is_some_and(|c| c.get::<Instance>(&path(name, "")).is_ok())
}

/// `microvisor stop`, for an instance of the node.
pub fn stop(name: &str, grace: Duration) -> u8 {
    let stop = || {
        let client = Client::required()?;
        let path = path(name, &format!("/stop?grace_ms={}", grace.as_millis()));
        client.bytes(Method::POST, &path, Body::None).map(drop)
    };
    done(stop())
}

/// `microvisor start`, `reboot`, `pause`, `resume`: what the API calls them, too.
pub fn act(names: &[String], what: &str) -> u8 {
    let rest = format!("/{what}");
    each(names, |client, name| client.bytes(Method::POST, &path(name, &rest), Body::None).map(drop))
}

/// `microvisor rm`
pub fn rm(names: &[String], force: bool) -> u8 {
    each(names, |client, name| client.delete(&path(name, &format!("?force={force}"))))
}

fn each(names: &[String], act: impl Fn(&Client, &str) -> Result<(), Problem>) -> u8 {
    let client = match Client::required() {
        Ok(client) => client,
        Err(e) => return failed(&e),
    };
    let outcomes = names.iter().map(|name| done(act(&client, name)));
    outcomes.fold(0, |worst, status| if status == 0 { worst } else { status })
}

/// `microvisor logs`
pub fn logs(name: &str) -> u8 {
    let read = || Client::required()?.bytes(Method::GET, &path(name, "/console"), Body::None);
    match read() {
        Ok(text) => {
            // A reader that is gone wants no more.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), &text);
            0
        }
        Err(e) => failed(&e),
    }
}

/// A timeline of the node's.
pub fn timeline(name: &str) -> Result<Timeline, Problem> {
    Client::required()?.get(&path(name, "/timeline"))
}

/// `microvisor timeline --stats`
pub fn statistics(last: usize, json: bool) -> u8 {
    let rows: Vec<Statistics> =
        match Client::required().and_then(|c| c.get(&format!("/v1/timelines/statistics?last={last}"))) {
            Ok(rows) => rows,
            Err(e) => return failed(&e),
        };
    if json {
        output::json(&rows);
        return 0;
    }
    let ms = |ns: u64| format!("{:.3}", ns as f64 / 1e6);
    let cells =
        |s: &Statistics| vec![s.phase.clone(), s.count.to_string(), ms(s.p50_ns), ms(s.p90_ns), ms(s.p99_ns)];
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    print!("{}", output::table(&["PHASE", "COUNT", "P50 MS", "P90 MS", "P99 MS"], &rows));
    0
}

/// Fails as a problem says.
pub fn refuse(problem: &Problem) -> u8 {
    failed(problem)
}

/// `microvisor net`
pub fn net(command: &NetCommand) -> u8 {
    done(Client::required().and_then(|client| match command {
        NetCommand::Ls { json } => {
            let networks: Vec<Network> = client.get("/v1/networks")?;
            if *json {
                output::json(&networks);
                return Ok(());
            }
            let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            let row = |n: &Network| {
                let uplink = n.uplink.as_ref().map(|u| u.interfaces.join(","));
                vec![
                    n.name.clone(),
                    dash(n.subnet.map(|s| s.to_string())),
                    dash(n.gateway.map(|g| g.to_string())),
                    dash(n.host.as_ref().map(|h| h.tap.clone())),
                    dash(uplink),
                ]
            };
            let rows: Vec<Vec<String>> = networks.iter().map(row).collect();
            print!("{}", output::table(&["NAME", "SUBNET", "GATEWAY", "HOST", "UPLINK"], &rows));
            Ok(())
        }
        NetCommand::Create(o) => {
            let host = o.host.clone().map(|tap| HostPort { tap, netns: o.netns.clone(), address: o.address });
            let uplink = (!o.uplink.is_empty()).then(|| Uplink {
                interfaces: o.uplink.clone(),
                netns: None,
                mode: o.bond,
                take_over: false,
                taken: None,
            });
            let network = Network {
                name: o.name.clone(),
                subnet: o.subnet,
                gateway: o.gateway,
                host,
                uplink,
                point_to_point: o.point_to_point,
                mtu: o.mtu,
            };
            client.post::<Network>("/v1/networks", &network).map(drop)
        }
        NetCommand::Rm { names } => {
            names.iter().try_for_each(|name| client.delete(&format!("/v1/networks/{name}")))
        }
    }))
}

/// Text as part of a query (RFC 3986, section 2.1).
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// `microvisor token`
pub fn token(command: &TokenCommand) -> u8 {
    done(Client::required().and_then(|client| match command {
        TokenCommand::Create { name, role } => {
            let made: Secret = client.post("/v1/tokens", &Token { name: name.clone(), role: role.0 })?;
            println!("{}", made.token);
            Ok(())
        }
        TokenCommand::Ls { json } => {
            let tokens: Vec<Token> = client.get("/v1/tokens")?;
            if *json {
                output::json(&tokens);
                return Ok(());
            }
            let role = |r: Role| format!("{r:?}").to_lowercase();
            let rows: Vec<Vec<String>> = tokens.iter().map(|t| vec![t.name.clone(), role(t.role)]).collect();
            print!("{}", output::table(&["NAME", "ROLE"], &rows));
            Ok(())
        }
        TokenCommand::Rm { names } => {
            names.iter().try_for_each(|name| client.delete(&format!("/v1/tokens/{name}")))
        }
    }))
}

/// `microvisor image`
pub fn image(command: &ImageCommand) -> u8 {
    done(Client::required().and_then(|client| match command {
        ImageCommand::Ls { json } => {
            let images: Vec<Image> = client.get("/v1/images")?;
            if *json {
                output::json(&images);
                return Ok(());
            }
            let row = |i: &Image| {
                let origin = if i.built_in { "built in" } else { "imported" };
                let id = i.id.get(..12).unwrap_or(&i.id).to_owned();
                vec![
                    i.name.clone(),
                    id,
                    format!("{} KiB", i.size.div_ceil(1024)),
                    format!("{} MiB", i.memory_mib),
                    origin.into(),
                ]
            };
            let rows: Vec<Vec<String>> = images.iter().map(row).collect();
            print!("{}", output::table(&["NAME", "ID", "SIZE", "MEMORY", "ORIGIN"], &rows));
            Ok(())
        }
        ImageCommand::Import { file, name, id } => {
            let text = file.to_string_lossy();
            let is_url = text.starts_with("http://") || text.starts_with("https://");
            let bytes = match is_url {
                true => Vec::new(),
                false => {
                    std::fs::read(file).map_err(|e| Problem::invalid(format!("{}: {e}", file.display())))?
                }
            };
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = name.clone().unwrap_or(stem);
            if !node::model::is_name(&name) {
                return Err(
                    Problem::invalid(format!("{name:?} cannot name an image")).hint("choose another: --name")
                );
            }
            let mut query = format!("name={name}");
            if is_url {
                query += &format!("&url={}", escaped(&text));
            }
            if let Some(id) = id {
                query += &format!("&id={}", escaped(id));
            }
            client.bytes(Method::POST, &format!("/v1/images?{query}"), Body::Bytes(bytes)).map(drop)
        }
        ImageCommand::Rm { names } => {
            names.iter().try_for_each(|name| client.delete(&format!("/v1/images/{name}")))
        }
    }))
}

/// `microvisor events`
pub fn events(follow: bool, json: bool) -> u8 {
    let show = |event: &Event| {
        if json {
            return output::json(event);
        }
        let ago = Duration::from_nanos(unix_ns().saturating_sub(event.at_unix_ns));
        let detail = if event.detail.is_null() { String::new() } else { event.detail.to_string() };
        println!(
            "{:>6}  {:>10.3} s ago  {:<20} {} {detail}",
            event.seq,
            ago.as_secs_f64(),
            event.kind,
            event.subject
        );
    };
    done(Client::required().and_then(|client| {
        if follow {
            return client.follow("/v1/events/watch", |data| {
                if let Ok(event) = serde_json::from_str(data) {
                    show(&event);
                }
                true
            });
        }
        let mut after = 0;
        loop {
            let page: Vec<Event> = client.get(&format!("/v1/events?limit=1000&after={after}"))?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.seq;
            page.iter().for_each(show);
        }
    }))
}
