//! The monitor's command line.

mod devices;

pub use devices::DiskOptions;

use crate::layout::{DEVICES_MAXIMUM, MEMORY_MAXIMUM, MEMORY_MINIMUM};
use lexopt::prelude::*;
use machine::error::Error;
use machine::net::options::DeviceOptions;
use machine::options::{Common, Stop, invalid, number, text};
use std::path::PathBuf;

/// Printed by `--help`.
pub const HELP: &str = "\
Runs one Linux guest in a virtual machine of its own.

Usage: microvisor-linux --kernel FILE [OPTION ...]

      --kernel FILE      kernel: a bzImage or a vmlinux
      --initrd FILE      initial file system
      --name TEXT        what the guest is called; default: the kernel's file name
      --cmdline TEXT     kernel's command line; default: console=ttyS0 panic=-1
      --memory MIB       guest memory, 32 to 4064; default 256
      --cpus N           virtual processors, 1 to 32; default 1
      --net KEY=VALUE,.. net device; may be repeated
            tap=NAME       its other end: a TAP, made if absent, or
            fd=N           an open TAP on descriptor N, or
            vhost-user=PATH  a switch's socket
            server=on|off  listen at PATH for the switch to connect; default off
            listener=N     with server=on: the socket on descriptor N listens there already
            wait=SECONDS   for the switch, before the guest starts; default 5
            mac=XX:..      link-layer address; default: made from the TAP's name
            mtu=N          largest packet; default 1500
            offload=on|off checksums and segmentation; default on
      --disk FILE[,ro]   disk: a raw file or a block device, writable unless `ro`; may be repeated
      --control PATH     make a control socket
      --console on|off   guest console on standard input and output; default on
      --report FD|FILE   write the report, JSON lines, to this descriptor, or to the end of a file
      --origin TSC       time stamp counter when the start was asked for
      --die-with-parent[=PID]  end when the starting process ends, or has ended already if it was PID
      --no-mounts        keep none of the mounts of the host; as root
      --check            say whether this host runs Linux guests, and end
  -h, --help             print this
  -V, --version          print the version

Exit status: 0 to 119 the guest's own, 120 guest fault, 121 image refused,
122 configuration refused, 123 permission missing, 124 host lacks something,
125 monitor failed, 128 + n stopped by signal n.
";

/// The kernel's command line, unless one is given.
pub const COMMAND_LINE: &str = "console=ttyS0 panic=-1";
/// Guest memory unless asked for, mebibytes.
pub const MEMORY_DEFAULT_MIB: u64 = 256;
/// Least guest memory, mebibytes.
pub const MEMORY_MINIMUM_MIB: u64 = MEMORY_MINIMUM >> 20;
/// Most guest memory, mebibytes.
pub const MEMORY_MAXIMUM_MIB: u64 = MEMORY_MAXIMUM >> 20;
/// Most virtual processors.
pub const CPUS_MAXIMUM: u8 = 32;

/// Devices that every machine has: console, entropy, balloon.
pub const BUILT_IN_DEVICES: usize = 3;
/// Most net devices and disks.
pub const ATTACHED_MAXIMUM: usize = DEVICES_MAXIMUM - BUILT_IN_DEVICES;

/// Everything that can be asked of a monitor.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Options {
    pub kernel: PathBuf,
    /// What the guest is called, if not as its kernel's file.
    pub name: Option<String>,
    pub initrd: Option<PathBuf>,
    pub command_line: String,
    /// Guest memory, bytes.
    pub memory: u64,
    pub cpus: u8,
    pub nets: Vec<DeviceOptions>,
    pub disks: Vec<DiskOptions>,
    pub common: Common,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kernel: PathBuf::new(),
            name: None,
            initrd: None,
            command_line: COMMAND_LINE.into(),
            memory: MEMORY_DEFAULT_MIB << 20,
            cpus: 1,
            nets: Vec::new(),
            disks: Vec::new(),
            common: Common::default(),
        }
    }
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run a guest.
    Run(Box<Options>),
    /// Say whether this host can.
    Check,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Reads the command line.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Command, Error> {
    Ok(parse_with(lexopt::Parser::from_iter(arguments))?)
}

fn parse_with(mut parser: lexopt::Parser) -> Result<Command, Stop> {
    let (mut o, mut kernel) = (Options::default(), None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("kernel") => kernel = Some(PathBuf::from(parser.value()?)),
            Long("initrd") => o.initrd = Some(parser.value()?.into()),
            Long("name") => o.name = Some(text(&mut parser)?),
            Long("cmdline") => o.command_line = text(&mut parser)?,
            Long("memory") => o.memory = memory(&text(&mut parser)?)?,
            Long("cpus") => o.cpus = cpus(&text(&mut parser)?)?,
            Long("net") => o.nets.push(devices::net(&text(&mut parser)?)?),
            Long("disk") => o.disks.push(text(&mut parser)?.parse::<DiskOptions>()?),
            Long("check") => return Ok(Command::Check),
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long(name) => {
                let name = name.to_owned();
                o.common.take(&name, &mut parser)?;
            }
            other => return Err(other.unexpected().into()),
        }
    }
    o.kernel = kernel.ok_or_else(|| Error::Configuration("--kernel is missing".into()))?;
    if o.nets.len() + o.disks.len() > ATTACHED_MAXIMUM {
        let most = format!("at most {ATTACHED_MAXIMUM} net devices and disks");
        return Err(Error::Configuration(most).into());
    }
    Ok(Command::Run(Box::new(o)))
}

fn memory(text: &str) -> Result<u64, Error> {
    let mib: u64 = number("--memory", text)?;
    let range = MEMORY_MINIMUM_MIB..=MEMORY_MAXIMUM_MIB;
    if range.contains(&mib) { Ok(mib << 20) } else { Err(invalid("--memory", text)) }
}

fn cpus(text: &str) -> Result<u8, Error> {
    let count = number("--cpus", text)?;
    if (1..=CPUS_MAXIMUM).contains(&count) { Ok(count) } else { Err(invalid("--cpus", text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, Error> {
        parse(["linux"].iter().chain(words).map(Into::into))
    }

    #[test]
    fn a_full_line_is_read() {
        let line = ["--kernel", "k", "--initrd", "i", "--cmdline", "a b=c", "--memory", "64", "--cpus", "4"];
        let Ok(Command::Run(o)) = parsed(&line) else { panic!() };
        assert_eq!((o.memory, o.cpus, o.command_line), (64 << 20, 4, "a b=c".into()));
        let line = ["--kernel", "k", "--net", "fd=7,mtu=9000,offload=off", "--disk", "d", "--disk", "e,ro"];
        let Ok(Command::Run(o)) = parsed(&line) else { panic!() };
        let net = DeviceOptions { fd: Some(7), mtu: 9000, offload: false, ..Default::default() };
        assert_eq!(o.nets, [net]);
        assert_eq!(o.disks.iter().map(|disk| disk.writable).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "--kernel",
            "--kernel k --memory 31",
            "--kernel k --memory 4065",
            "--kernel k --cpus 0",
            "--kernel k --cpus 33",
            "--kernel k --console maybe",
            "--kernel k --net mtu=1500",
            "--kernel k --net tap=a,fd=3",
            "--kernel k --net tap=a,mac=01:00:00:00:00:00",
            "--kernel k --net tap=a,mtu=67",
            "--kernel k --net tap=a,offload=maybe",
            "--kernel k --net tap=a,queue=64",
            "--kernel k --disk ,ro",
            "--kernel k --what",
            "--kernel k extra",
        ] {
            let words: Vec<_> = line.split(' ').filter(|w| !w.is_empty()).collect();
            assert!(matches!(parsed(&words), Err(Error::Configuration(_))), "{line}");
        }
    }
}
