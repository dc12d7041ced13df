//! The monitor's command line.

use lexopt::prelude::*;
use machine::error::Error;
use machine::net::options::DeviceOptions;
use machine::options::{Common, Stop, invalid, number, text};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

/// The text that `--help` prints.
pub const HELP: &str = "\
Runs one MicroVisor guest in a virtual machine of its own.

Usage: microvisor-vmm --image FILE [OPTION ...]

      --image FILE       guest image (ELF with a MicroVisor note)
      --config FILE      configuration for the guest, a Click file say
      --set NAME=VALUE   word for the guest's command line; may be repeated
      --memory MIB       guest memory; default: what the image asks for
      --net KEY=VALUE,.. net device; may be repeated
            tap=NAME       its other end: a TAP, made if absent, or
            fd=N           an open TAP on descriptor N, or
            vhost-user=PATH  a switch's socket (vhost-user:PATH will do, too)
            server=on|off  listen at PATH for the switch to connect; default off
            listener=N     with server=on: the socket on descriptor N listens there already
            wait=SECONDS   for the switch, before the guest starts; default 5
            mac=XX:..      link-layer address; default: made from the TAP's name
            ipv4=A/LEN     address for the guest     ipv4-gateway=A
            ipv6=A/LEN     likewise                  ipv6-gateway=A
            mtu=N          largest packet; default 1500
            queue=N        entries of each queue, a power of two; default 256
            offload=on|off checksums and segmentation; default on
      --poll MICROSECONDS  how long an idle guest polls before it sleeps, or `always`; default 100
      --control PATH     make a control socket
      --console on|off   guest console on standard input and output; default on
      --report FD|FILE   write the report, JSON lines, to this descriptor, or to the end of a file
      --origin TSC       time stamp counter when the start was asked for
      --die-with-parent[=PID]  end when the starting process ends, or has ended already if it was PID
      --no-mounts        keep none of the mounts of the host; as root
      --prepared FD      have the guest prepare itself before anybody has asked for it, and wait at this socket for
                         who it shall be; devices are given with server=on, without addresses
  -h, --help             print this
  -V, --version          print the version

Exit status: 0 to 119 the guest's own, 120 guest fault, 121 image refused,
122 configuration refused, 123 permission missing, 124 host lacks something,
125 monitor failed, 128 + n stopped by signal n.
";

/// Options of a net device.
#[derive(Clone, Debug)]
pub struct NetOptions {
    /// Options that all monitors have in common.
    pub device: DeviceOptions,
    /// Guest's IPv4 address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// IPv4 default gateway.
    pub ipv4_gateway: Option<Ipv4Addr>,
    /// Guest's IPv6 address and prefix length.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// IPv6 default gateway.
    pub ipv6_gateway: Option<Ipv6Addr>,
    /// Entries of each queue.
    pub queue: u32,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            device: DeviceOptions::default(),
            ipv4: None,
            ipv4_gateway: None,
            ipv6: None,
            ipv6_gateway: None,
            queue: 256,
        }
    }
}

/// Options of the monitor.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Options {
    pub image: PathBuf,
    pub config: Option<PathBuf>,
    pub words: Vec<String>,
    pub memory: Option<u64>,
    pub nets: Vec<NetOptions>,
    pub poll_ns: u32,
    pub common: Common,
}

/// The command that a command line gives.
#[derive(Debug)]
pub enum Command {
    /// Run a guest.
    Run(Box<Options>),
    /// Prepare a guest, and wait at this socket for its assignment.
    Prepared(RawFd, Box<Options>),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

impl FromStr for NetOptions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut net = NetOptions::default();
        for pair in text.split(',') {
            let Some((key, value)) = net.device.take(pair)? else { continue };
            match key {
                "ipv4" => net.ipv4 = Some(with_prefix("--net ipv4", value, 32)?),
                "ipv4-gateway" => net.ipv4_gateway = Some(number("--net ipv4-gateway", value)?),
                "ipv6" => net.ipv6 = Some(with_prefix("--net ipv6", value, 128)?),
                "ipv6-gateway" => net.ipv6_gateway = Some(number("--net ipv6-gateway", value)?),
                "queue" => net.queue = number("--net queue", value)?,
                _ => return Err(invalid("--net", pair)),
            }
        }
        net.device.check()?;
        if !net.queue.is_power_of_two() || !(8..=1024).contains(&net.queue) {
            return Err(Error::Configuration("--net queue: a power of two from 8 to 1024".into()));
        }
        Ok(net)
    }
}

/// Parses an address and the length of its prefix, at most `bits`: `10.0.0.1/24`.
fn with_prefix<A: FromStr>(what: &str, text: &str, bits: u8) -> Result<(A, u8), Error> {
    let (address, prefix) = text.split_once('/').ok_or_else(|| invalid(what, text))?;
    let prefix = number(what, prefix)?;
    if prefix > bits {
        return Err(invalid(what, text));
    }
    Ok((number(what, address)?, prefix))
}

/// Parses the command line.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Command, Error> {
    Ok(parse_with(lexopt::Parser::from_iter(arguments))?)
}

fn parse_with(mut parser: lexopt::Parser) -> Result<Command, Stop> {
    let (mut image, mut prepared) = (None, None);
    let mut o = Options {
        image: PathBuf::new(),
        config: None,
        words: Vec::new(),
        memory: None,
        nets: Vec::new(),
        poll_ns: 100_000,
        common: Common::default(),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("image") => image = Some(PathBuf::from(parser.value()?)),
            Long("config") => o.config = Some(parser.value()?.into()),
            Long("set") => o.words.push(word(text(&mut parser)?)?),
            Long("memory") => o.memory = Some(memory(&text(&mut parser)?)?),
            Long("net") => o.nets.push(text(&mut parser)?.parse::<NetOptions>()?),
            Long("poll") => o.poll_ns = poll(&text(&mut parser)?)?,
            Long("prepared") => prepared = Some(parser.value()?.parse()?),
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long(name) => {
                let name = name.to_owned();
                o.common.take(&name, &mut parser)?;
            }
            other => return Err(other.unexpected().into()),
        }
    }
    o.image = image.ok_or_else(|| Error::Configuration("--image is missing".into()))?;
    if o.nets.len() > abi::boot::NET_MAXIMUM {
        let most = abi::boot::NET_MAXIMUM;
        return Err(Error::Configuration(format!("at most {most} net devices")).into());
    }
    match prepared {
        None => Ok(Command::Run(Box::new(o))),
        Some(_)
            if o.config.is_some()
                || o.nets.iter().any(|net| !net.device.server || net.device.listener.is_some()) =>
        {
            let problem = "--prepared: configuration and sockets come when the guest is assigned";
            Err(Error::Configuration(problem.into()).into())
        }
        Some(fd) => Ok(Command::Prepared(fd, Box::new(o))),
    }
}

fn word(text: String) -> Result<String, Error> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() && !text.contains('\0') && text.len() <= 4096 => Ok(text),
        _ => Err(Error::Configuration(format!("--set: {text:?} is not NAME=VALUE"))),
    }
}

/// Most guest memory, mebibytes.
pub const MEMORY_MAXIMUM_MIB: u64 = abi::layout::MEMORY_MAX >> 20;

/// Converts guest memory from mebibytes to bytes. Errors: more than the guest ABI allows.
fn memory(text: &str) -> Result<u64, Error> {
    let mib: u64 = number("--memory", text)?;
    if !(1..=MEMORY_MAXIMUM_MIB).contains(&mib) {
        return Err(Error::Configuration(format!("--memory: from 1 to {MEMORY_MAXIMUM_MIB} MiB")));
    }
    Ok(mib << 20)
}

fn poll(text: &str) -> Result<u32, Error> {
    if text == "always" {
        return Ok(abi::boot::POLL_ALWAYS);
    }
    let us: u32 = number("--poll", text)?;
    us.checked_mul(1000).filter(|&ns| ns != abi::boot::POLL_ALWAYS).ok_or_else(|| invalid("--poll", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, Error> {
        parse(["vmm"].iter().chain(words).map(Into::into))
    }

    #[test]
    fn a_full_line_is_read() {
        let line = "--image i --memory 4 --net tap=t0,ipv4=10.0.0.1/24,queue=64 --set A=b --poll always";
        let Ok(Command::Run(o)) = parsed(&line.split(' ').collect::<Vec<_>>()) else { panic!() };
        assert_eq!(o.memory, Some(4 << 20));
        assert_eq!(o.nets[0].queue, 64);
        assert_eq!(o.poll_ns, abi::boot::POLL_ALWAYS);
    }

    #[test]
    fn a_switch_is_named_by_its_socket() {
        for line in
            ["--image i --net vhost-user=/s,server=on,queue=1024", "--image i --net vhost-user:/s,server=on"]
        {
            let Ok(Command::Run(o)) = parsed(&line.split(' ').collect::<Vec<_>>()) else { panic!("{line}") };
            assert_eq!(o.nets[0].device.vhost_user, Some("/s".into()));
            assert!(o.nets[0].device.server);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "--image",
            "--image i --net tap=a,fd=3",
            "--image i --net mtu=1500",
            "--image i --net tap=a,vhost-user=/s",
            "--image i --net tap=a,server=on",
            "--image i --net vhost-user=/s,listener=3",
            "--image i --net vhost-user=/s,server=maybe",
            "--image i --net tap=a,queue=100",
            "--image i --net tap=a,mac=01:00:00:00:00:00",
            "--image i --net tap=a,ipv4=10.0.0.1/33",
            "--image i --memory 0",
            "--image i --memory 99999999999999999999",
            "--image i --set novalue",
            "--image i --what",
            "--prepared 0",
            "--prepared x --image i",
            "--image i --prepared 0 --config c",
            "--image i --prepared 0 --net tap=a",
            "--image i --prepared 0 --net vhost-user=/s,server=on,listener=3",
        ] {
            let words: Vec<_> = line.split(' ').filter(|w| !w.is_empty()).collect();
            assert!(matches!(parsed(&words), Err(Error::Configuration(_))), "{line}");
        }
    }
}
