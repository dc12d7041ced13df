//! Contestants: a client's namespace, a server or guest, and what is between them, made through the public command line
//! for one turn, and gone after it. So nobody works while another is measured.

use super::host::{Error, Folder, Namespace, Running, failed, need, own, run, unique, until};
use super::look;
use super::place::Places;
use super::stock;
use std::fmt::Write;
use std::fs::File;
use std::process::{Command, Stdio};

/// What is between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A veth pair, or two and a route over both.
    Veth { links: usize },
    /// A veth pair, a bridge of the kernel, a veth pair.
    Bridge,
    /// A TAP that the client's kernel and the monitor share.
    Tap,
    /// A veth pair, a bridge of the kernel, a TAP of the monitor.
    TapBehindBridge,
    /// A TAP, and Linux in a machine of QEMU.
    Stock,
    /// A TAP, the switch, and a guest's vhost-user port.
    Switch,
    /// A veth pair whose end is the switch's uplink, and a guest's vhost-user port.
    Uplink,
    /// A TAP, the switch, veth pairs bonded at both ends, the switch, and a guest's vhost-user port.
    Bond { links: usize },
}

/// How long those who wait for packets look for them before they sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// 50 microseconds.
    Adaptive,
    /// As long as they live.
    Always,
    /// Not at all.
    Never,
}

/// A contestant: options of the product.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Its look.
    pub key: &'static str,
    /// What is between the client and the server.
    pub path: Path,
    /// Checksums and segmentation left to the other side.
    pub offload: bool,
    /// Largest packet.
    pub mtu: u16,
    /// Of the guest, and of the switch.
    pub poll: Poll,
    /// Entries of each queue.
    pub queue: u32,
    /// The switch's segment is a wire.
    pub wire: bool,
    /// What each link can carry.
    pub rate: Option<&'static str>,
}

impl Setup {
    /// With the product's own defaults.
    pub const fn new(key: &'static str, path: Path) -> Self {
        Self {
            key,
            path,
            offload: true,
            mtu: 1500,
            poll: Poll::Adaptive,
            queue: 256,
            wire: false,
            rate: None,
        }
    }

    /// Its name for people.
    pub fn label(&self) -> String {
        let is_one_link = matches!(self.path, Path::Veth { links: 1 } | Path::Bond { links: 1 });
        let links = if self.rate.is_some() && is_one_link { ", one link" } else { "" };
        format!("{}{links}", look::of(self.key).label)
    }

    fn is_guest(&self) -> bool {
        !matches!(self.path, Path::Veth { .. } | Path::Bridge | Path::Stock)
    }

    /// Programs that it takes, that of a native server among them.
    fn programs(&self, server: Server) -> Vec<&'static str> {
        let mut programs = vec!["ip", "taskset"];
        programs.extend(self.rate.map(|_| "tc"));
        match self.path {
            Path::Veth { .. } | Path::Bridge => programs.extend(server.program()),
            Path::Stock => programs.extend(server.program().into_iter().chain(["qemu-system-x86_64"])),
            Path::Tap | Path::TapBehindBridge => programs.extend(["microvisor", "microvisor-vmm"]),
            _ => programs.extend(["microvisor", "microvisor-vmm", "microvisor-switch"]),
        }
        programs
    }
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// iperf3.
    Iperf,
    /// NetPIPE's receiver for sizes up to some bytes, and from some bytes.
    Netpipe { low: u32, high: u32 },
    /// Redis.
    Redis,
    /// What answers pings: a kernel, or Click.
    Ping,
}

impl Server {
    fn program(self) -> Option<&'static str> {
        match self {
            Server::Iperf => Some("iperf3"),
            Server::Netpipe { .. } => Some("NPtcp"),
            Server::Redis => Some("redis-server"),
            Server::Ping => None,
        }
    }

    /// The port, and how the program is started.
    pub fn native(self) -> Option<(u16, Vec<String>)> {
        let words = |text: String| text.split(' ').map(str::to_owned).collect();
        match self {
            Server::Iperf => Some((5201, words("iperf3 -s".into()))),
            Server::Netpipe { low, high } => {
                Some((5002, words(format!("NPtcp -o /dev/null -p 0 -l {low} -u {high}"))))
            }
            Server::Redis => {
                let mut words: Vec<String> = words("redis-server --protected-mode no --save".into());
                words.push(String::new());
                Some((6379, words))
            }
            Server::Ping => None,
        }
    }

    /// What `microvisor run` is told.
    fn guest(self, folder: &Folder) -> Result<Vec<String>, Error> {
        let words: &[&str] = match self {
            Server::Iperf => &["iperf"],
            Server::Netpipe { low, .. } => return Ok(netpipe(&format!("-p 0 -l {low}"))),
            Server::Redis => &["redis", "--memory", "512"],
            Server::Ping => {
                let file = folder.0.join("pong.click");
                if let Err(e) = std::fs::write(&file, include_str!("pong.click")) {
                    return failed(format!("{}: {e}", file.display()));
                }
                return Ok(vec![file.display().to_string()]);
            }
        };
        Ok(words.iter().map(ToString::to_string).collect())
    }
}

/// What `microvisor run` is told for NetPIPE's guest.
fn netpipe(arguments: &str) -> Vec<String> {
    vec!["netpipe".into(), "--set".into(), format!("args={arguments}")]
}

/// The stock contestant beside others, where it can be.
pub fn with_stock(setups: &[Setup]) -> Vec<Setup> {
    let stock = stock::why_not().is_none().then_some(Setup::new("stock", Path::Stock));
    setups.iter().copied().chain(stock).collect()
}

/// Sees that the programs for all these contestants are there.
pub fn check(setups: &[Setup], server: Server, loads: &[&str]) -> Result<Vec<&'static str>, Error> {
    need(loads)?;
    let mut all: Vec<&'static str> = setups.iter().flat_map(|s| s.programs(server)).collect();
    all.sort_unstable();
    all.dedup();
    need(&all)?;
    if setups.iter().any(Setup::is_guest) && !std::path::Path::new("/dev/kvm").exists() {
        return failed("/dev/kvm is missing: guests need KVM");
    }
    Ok(all)
}

/// The server's address.
pub const SERVER: &str = "10.80.0.1";
/// The client's.
pub const CLIENT: &str = "10.80.0.2";
/// A second guest's.
const OTHER: &str = "10.80.0.3";

/// A guest, stopped with this.
struct Guest {
    name: String,
    runs: std::path::PathBuf,
}

impl Guest {
    fn microvisor(&self, words: &[&str]) -> Command {
        let mut command = Command::new(own("microvisor"));
        command.env("MICROVISOR_RUN_DIR", &self.runs).args(words);
        command
    }

    fn start(lab: &Lab, setup: &Setup, server: Server, device: &[String]) -> Result<Self, Error> {
        let guest = Self { name: unique(), runs: lab.folder.0.clone() };
        let mut command = guest.microvisor(&["run", "--detach", "--name", &guest.name]);
        run(command.args(device).args(options(setup)).args(server.guest(&lab.folder)?))?;
        let all: serde_json::Value =
            serde_json::from_str(&run(&mut guest.microvisor(&["ps", "--json"]))?).unwrap_or_default();
        match all[0]["pid"].as_u64() {
            Some(pid) => lab.places.place(pid, |thread| thread != "io")?,
            None => return failed(format!("the guest {} ended at once", guest.name)),
        }
        Ok(guest)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = run(&mut self.microvisor(&["stop", &self.name]));
    }
}

/// Options of a guest that are not its devices'.
fn options(setup: &Setup) -> Vec<String> {
    let poll = match setup.poll {
        Poll::Adaptive => "50",
        Poll::Always => "always",
        Poll::Never => "0",
    };
    vec!["--poll".into(), poll.into()]
}

/// A contestant on its turn. The first fields are dropped first.
pub struct Lab {
    guest: Option<Guest>,
    running: Vec<Running>,
    /// Where the load comes from.
    pub client: Namespace,
    /// The server's namespace, or that of the links.
    far: Namespace,
    /// A bridge's namespace.
    middle: Option<Namespace>,
    /// Of its files and sockets.
    pub folder: Folder,
    /// Which CPU does what.
    pub places: Places,
}

/// A pair of devices between two namespaces, limited at both ends.
fn link(near: (&Namespace, &str), far: (&Namespace, &str), setup: &Setup) -> Result<(), Error> {
    let ((near, a), (far, b)) = (near, far);
    near.ip(&format!("link add {a} type veth peer name {b} netns {}", far.name))?;
    for (namespace, device) in [(near, a), (far, b)] {
        namespace.ip(&format!("link set {device} mtu {} up", setup.mtu))?;
        if let Some(rate) = setup.rate {
            let tc = |words: &str| {
                let words: Vec<&str> = ["tc"].into_iter().chain(words.split(' ')).collect();
                run(&mut namespace.command(&words))
            };
            tc(&format!("qdisc add dev {device} root handle 1: htb default 1"))?;
            tc(&format!(
                "class add dev {device} parent 1: classid 1:1 htb rate {rate} burst 512kb cburst 512kb quantum 60000"
            ))?;
        }
    }
    Ok(())
}

/// A bridge with a client behind it.
fn bridge(client: &Namespace, within: &Namespace, setup: &Setup) -> Result<(), Error> {
    within.ip("link add br0 type bridge")?;
    within.ip("link set br0 up")?;
    link((client, "a0"), (within, "b0"), setup)?;
    within.ip("link set b0 master br0")?;
    client.address("a0", &format!("{CLIENT}/24"), setup.mtu)
}

impl Lab {
    /// Makes it, and waits until its server answers.
    pub fn new(setup: &Setup, server: Server) -> Result<Self, Error> {
        let mut lab = Self {
            guest: None,
            running: Vec::new(),
            client: Namespace::new()?,
            far: Namespace::new()?,
            middle: None,
            folder: Folder::new()?,
            places: Places::here(),
        };
        match setup.path {
            Path::Veth { links } => lab.veth(setup, links)?,
            Path::Bridge => lab.bridge(setup)?,
            Path::Stock => {
                let machine = stock::start(&lab, setup, server)?;
                lab.running.push(machine);
                return Ok(lab);
            }
            Path::Tap | Path::TapBehindBridge => return lab.tap(setup, server),
            Path::Switch | Path::Uplink | Path::Bond { .. } => return lab.switched(setup, server),
        }
        if let Some((port, words)) = server.native() {
            let cpu = lab.places.server.to_string();
            let words: Vec<&str> =
                ["taskset", "-c", &cpu].into_iter().chain(words.iter().map(String::as_str)).collect();
            lab.running.push(Running::quiet(&mut lab.far.command(&words))?);
            lab.far.listens(port)?;
        }
        Ok(lab)
    }

    fn veth(&self, setup: &Setup, links: usize) -> Result<(), Error> {
        if links == 1 {
            link((&self.client, "a0"), (&self.far, "b0"), setup)?;
            self.client.address("a0", &format!("{CLIENT}/24"), setup.mtu)?;
            return self.far.address("b0", &format!("{SERVER}/24"), setup.mtu);
        }
        let mut hops = String::new();
        for n in 0..links {
            let (a, b) = (format!("a{n}"), format!("b{n}"));
            link((&self.client, &a), (&self.far, &b), setup)?;
            self.client.address(&a, &format!("10.81.{n}.2/24"), setup.mtu)?;
            self.far.address(&b, &format!("10.81.{n}.1/24"), setup.mtu)?;
            let _ = write!(hops, " nexthop via 10.81.{n}.1");
        }
        self.far.ip(&format!("addr add {SERVER}/32 dev lo"))?;
        let by_ports = "echo 1 > /proc/sys/net/ipv4/fib_multipath_hash_policy";
        run(&mut self.client.command(&["sh", "-c", by_ports]))?;
        self.client.ip(&format!("route add {SERVER}/32{hops}"))
    }

    fn bridge(&mut self, setup: &Setup) -> Result<(), Error> {
        let middle = self.middle.insert(Namespace::new()?);
        bridge(&self.client, middle, setup)?;
        link((middle, "c0"), (&self.far, "d0"), setup)?;
        middle.ip("link set c0 master br0")?;
        self.far.address("d0", &format!("{SERVER}/24"), setup.mtu)
    }

    fn tap(mut self, setup: &Setup, server: Server) -> Result<Self, Error> {
        let is_behind = setup.path == Path::TapBehindBridge;
        let holder = if is_behind { &self.far } else { &self.client };
        let mut device = format!("t0,netns={},guest={SERVER}/24", holder.name);
        if is_behind {
            bridge(&self.client, &self.far, setup)?;
        } else {
            let _ = write!(device, ",address={CLIENT}/24");
        }
        let _ = write!(device, "{}", features(setup));
        self.guest = Some(Guest::start(&self, setup, server, &["--tap".into(), device])?);
        if is_behind {
            self.far.ip("link set t0 master br0")?;
        }
        Ok(self)
    }

    fn switched(mut self, setup: &Setup, server: Server) -> Result<Self, Error> {
        let [config, control, log] =
            ["switch.toml", "switch.sock", "log"].map(|name| self.folder.0.join(name));
        let written = std::fs::write(&config, self.switch_config(setup)?);
        let log_file = written.and_then(|()| File::create(&log));
        let log_file = log_file.or_else(|e| failed(format!("{}: {e}", log.display())))?;
        let mut command = Command::new(own("microvisor-switch"));
        command.arg("--config").arg(&config).arg("--control").arg(&control);
        self.running.push(Running::start(command.stdout(Stdio::null()).stderr(log_file))?);
        let show = ["switch", "--socket", &control.display().to_string(), "show"].map(str::to_owned);
        let answers =
            until("the switch answers", 10, || run(Command::new(own("microvisor")).args(&show)).is_ok());
        if let Err(Error::Failed(why)) = answers {
            return failed(format!("{why}: {}", std::fs::read_to_string(&log).unwrap_or_default().trim()));
        }
        answers?;
        if setup.path != Path::Uplink {
            self.client.address("t0", &format!("{CLIENT}/24"), setup.mtu)?;
        }
        let device = ["--net".to_owned(), self.socket("guest", SERVER, setup)];
        self.guest = Some(Guest::start(&self, setup, server, &device)?);
        Ok(self)
    }

    fn socket(&self, port: &str, address: &str, setup: &Setup) -> String {
        let path = self.folder.0.join(port);
        format!("vhost-user={}.sock,guest={address}/24{}", path.display(), features(setup))
    }

    /// The switch's configuration. There is a port for a second guest, too.
    fn switch_config(&self, setup: &Setup) -> Result<String, Error> {
        let polling = match setup.poll {
            Poll::Adaptive => "adaptive",
            Poll::Always => "always",
            Poll::Never => "never",
        };
        let mut text = format!(
            "[switch]\ncpus = [{}]\npolling = \"{polling}\"\n[segments.near]\npoint-to-point = {}\n[segments.far]\n",
            self.places.switch, setup.wire
        );
        let mut port = |name: &str, segment: &str, device: String| {
            let belongs =
                if segment.is_empty() { String::new() } else { format!("segment = \"{segment}\"\n") };
            let _ = write!(
                text,
                "[ports.{name}]\n{belongs}mtu = {}\noffload = {}\ndevice = {{ {device} }}\n",
                setup.mtu, setup.offload
            );
        };
        let user =
            |name: &str| format!("vhost-user = {{ path = \"{}.sock\" }}", self.folder.0.join(name).display());
        let packet =
            |name: &str| format!("packet = {{ interface = \"{name}\", netns = \"{}\" }}", self.far.name);
        let tap = format!("tap = {{ name = \"t0\", netns = \"{}\" }}", self.client.name);
        match setup.path {
            Path::Uplink => {
                link((&self.client, "a0"), (&self.far, "b0"), setup)?;
                self.client.address("a0", &format!("{CLIENT}/24"), setup.mtu)?;
                port("uplink", "near", packet("b0"));
            }
            Path::Bond { links } => {
                let bond = |side: &str| {
                    let names: Vec<String> = (0..links).map(|n| format!("\"{side}{n}\"")).collect();
                    format!("bond = {{ links = [{}], mode = \"balance-xor\" }}", names.join(", "))
                };
                for n in 0..links {
                    let (a, b) = (format!("a{n}"), format!("b{n}"));
                    link((&self.far, &a), (&self.far, &b), setup)?;
                    port(&a, "", packet(&a));
                    port(&b, "", packet(&b));
                }
                port("bond-a", "near", bond("a"));
                port("bond-b", "far", bond("b"));
                port("tap", "near", tap);
            }
            _ => port("tap", "near", tap),
        }
        let segment = if matches!(setup.path, Path::Bond { .. }) { "far" } else { "near" };
        port("guest", segment, user("guest"));
        if !setup.wire {
            port("other", segment, user("other"));
        }
        Ok(text)
    }

    /// A second guest on the switch, in the foreground, on the client's CPU.
    pub fn second_guest(&self, setup: &Setup, words: &[String]) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.places.client.to_string()]).arg(own("microvisor"));
        command.env("MICROVISOR_RUN_DIR", &self.folder.0).args(["run", "--name", &unique()]);
        command.args(["--net", &self.socket("other", OTHER, setup)]).args(options(setup)).args(words);
        command
    }

    /// The same with NetPIPE's transmitter.
    pub fn transmitter(&self, setup: &Setup, arguments: &str) -> Command {
        self.second_guest(setup, &netpipe(&format!("-h {SERVER} {arguments}")))
    }

    /// A command in the client's namespace, on its CPU.
    pub fn load(&self, words: &[&str]) -> Command {
        let cpu = self.places.client.to_string();
        self.client.command(&[&["taskset", "-c", &cpu][..], words].concat())
    }
}

/// Of a net device.
fn features(setup: &Setup) -> String {
    let offload = if setup.offload { "on" } else { "off" };
    format!(",mtu={},queue={},offload={offload}", setup.mtu, setup.queue)
}
