//! The testbed: a client's namespace, a server or guest, and what is between them, made through the public command line
//! for one turn, and gone after it. So nothing works while another configuration is measured.
//!
//! [`setup`] says what takes part, [`stock`] makes a stock hypervisor, [`cpu_placement`] says which CPU does what, and
//! [`host`] and [`versions`] what it was measured on. [`process`] and [`namespace`] end with their owners.

pub mod cpu_placement;
pub mod host;
pub mod namespace;
pub mod node;
pub mod process;
pub mod setup;
pub mod stock;
pub mod versions;

use cpu_placement::CpuPlacement;
use namespace::{Folder, Namespace, unique};
use process::{Error, Running, failed, own, run, until};
use setup::{CLIENT, OTHER, Path, Poll, SERVER, Server, Setup, features, netpipe, options};
use std::fmt::Write;
use std::fs::File;
use std::process::{Command, Stdio};

/// The stock kernel beside the other configurations, if the host can run it.
pub fn with_stock(setups: &[Setup]) -> Vec<Setup> {
    let stock = stock::why_not().is_none().then_some(Setup::new("stock", Path::Stock));
    setups.iter().copied().chain(stock).collect()
}

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

    fn start(testbed: &Testbed, setup: &Setup, server: Server, device: &[String]) -> Result<Self, Error> {
        let guest = Self { name: unique(), runs: testbed.folder.0.clone() };
        let mut command = guest.microvisor(&["run", "--detach", "--name", &guest.name]);
        run(command.args(device).args(options(setup)).args(server.guest(&testbed.folder)?))?;
        let all: serde_json::Value =
            serde_json::from_str(&run(&mut guest.microvisor(&["ps", "--json"]))?).unwrap_or_default();
        match all[0]["pid"].as_u64() {
            Some(pid) => testbed.cpus.pin(pid, |thread| thread != "io")?,
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

/// A configuration on its turn. The first fields are dropped first.
pub struct Testbed {
    guest: Option<Guest>,
    running: Vec<Running>,
    /// Where the load comes from.
    pub client: Namespace,
    /// The server's namespace, or that of the links.
    far: Namespace,
    /// A bridge's namespace.
    middle: Option<Namespace>,
    /// For its files and sockets.
    pub folder: Folder,
    /// Which CPU does what.
    pub cpus: CpuPlacement,
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

impl Testbed {
    /// Makes it, and waits until its server answers.
    pub fn new(setup: &Setup, server: Server) -> Result<Self, Error> {
        let mut testbed = Self {
            guest: None,
            running: Vec::new(),
            client: Namespace::new()?,
            far: Namespace::new()?,
            middle: None,
            folder: Folder::new()?,
            cpus: CpuPlacement::here(),
        };
        match setup.path {
            Path::Veth { links } => testbed.veth(setup, links)?,
            Path::Bridge => testbed.bridge(setup)?,
            Path::Stock => {
                let machine = stock::start(&testbed.client, &testbed.folder, setup, server)?;
                testbed.running.push(machine);
                return Ok(testbed);
            }
            Path::Tap | Path::TapBehindBridge => return testbed.tap(setup, server),
            Path::Switch | Path::Uplink | Path::Bond { .. } => return testbed.switched(setup, server),
        }
        if let Some((port, words)) = server.native() {
            let cpu = testbed.cpus.server.to_string();
            let words: Vec<&str> =
                ["taskset", "-c", &cpu].into_iter().chain(words.iter().map(String::as_str)).collect();
            testbed.running.push(Running::quiet(&mut testbed.far.command(&words))?);
            testbed.far.listens(port)?;
        }
        Ok(testbed)
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
            self.cpus.switch, setup.point_to_point
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
        if !setup.point_to_point {
            port("other", segment, user("other"));
        }
        Ok(text)
    }

    /// A second guest on the switch, in the foreground, on the client's CPU.
    pub fn second_guest(&self, setup: &Setup, words: &[String]) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.cpus.client.to_string()]).arg(own("microvisor"));
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
        let cpu = self.cpus.client.to_string();
        self.client.command(&[&["taskset", "-c", &cpu][..], words].concat())
    }
}
