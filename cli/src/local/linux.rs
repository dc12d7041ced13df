//! Checks the options of a Linux guest, and makes all that its monitor is given.

use super::directory::RunDirectory;
use super::monitor::{Monitor, Sockets};
use super::record::Record;
use super::tap;
use crate::options::RunOptions;
use crate::options::values::Addresses;
use bundle::Bundle;
use linux::options::{COMMAND_LINE, MEMORY_DEFAULT_MIB};
use machine::error::Error;
use machine::timeline::{Phase, Tsc, unix_ns};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// What a Linux guest is started from.
pub enum Source<'a> {
    /// A kernel.
    Kernel(&'a Path),
    /// A bundle.
    Bundle(&'a Path),
}

impl<'a> Source<'a> {
    /// What the options name, if that is a Linux guest.
    pub fn of(o: &'a RunOptions) -> Option<Self> {
        if let Some(kernel) = &o.linux.kernel {
            return Some(Self::Kernel(kernel));
        }
        let what = Path::new(o.what());
        let is_named_so = what.extension().is_some_and(|e| e == bundle::EXTENSION);
        (is_named_so || bundle::is_bundle(what)).then_some(Self::Bundle(what))
    }

    fn path(&self) -> &'a Path {
        match self {
            Self::Kernel(path) | Self::Bundle(path) => path,
        }
    }

    /// What the guest is called: a kernel's file is called so for its version, a bundle's folder for its kind.
    fn name(&self) -> String {
        let name = match self {
            Self::Kernel(path) => path.file_name(),
            Self::Bundle(path) => path.file_stem(),
        };
        name.unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A guest's size and files, found and checked.
struct LinuxPlan {
    /// Kernel, initial file system and disk as the monitor's command line has them.
    arguments: Vec<String>,
    /// Files that it names by descriptor.
    keep: Vec<OwnedFd>,
    command_line: String,
    cpus: u8,
    memory_mib: u64,
}

/// Everything that can be refused is refused before anything is made.
pub fn prepare(o: &RunOptions, source: Source<'_>, begun: Tsc) -> Result<Monitor, Error> {
    let understood = Tsc::now();
    linux::host::require_hardware()?;
    if o.config.is_some() {
        return Err(Error::Configuration("--config: a Linux guest has no configuration".into()));
    }
    for tap in &o.tap {
        check_device(&format!("--tap {}", tap.name), &tap.guest, &tap.device)?;
    }
    for net in &o.net {
        check_device(&format!("--net {}", net.device[0]), &net.guest, &net.device)?;
    }
    let found = match source {
        Source::Kernel(kernel) => of_kernel(o, kernel)?,
        Source::Bundle(folder) => of_bundle(o, folder)?,
    };
    let LinuxPlan { mut arguments, mut keep, command_line, cpus, memory_mib } = found;
    let memory_mib = o.memory.unwrap_or(memory_mib);
    let cpus = o.linux.cpus.unwrap_or(cpus);
    bundle::check_size(memory_mib, cpus).map_err(Error::Configuration)?;
    let command_line = o.linux.cmdline.as_ref().unwrap_or(&command_line);
    let words = o.set.iter().map(|(name, value)| (name, value));
    let command_line = bundle::append_words(command_line, words).map_err(Error::Configuration)?;
    arguments.push(format!("--cmdline={command_line}"));
    for disk in &o.linux.disk {
        arguments.extend(["--disk".into(), absolute(Path::new(disk))]);
    }
    arguments.extend(["--cpus".into(), cpus.to_string()]);
    arguments.extend(["--memory".into(), memory_mib.to_string()]);
    let name = source.name();
    arguments.extend(["--name".into(), name.clone()]);
    let directory = RunDirectory::take(o.name.as_deref(), &name)?;
    arguments.extend(["--control".into(), directory.socket().display().to_string()]);
    let found = Tsc::now();
    let mut before = Vec::new();
    for option in &o.tap {
        let tap = tap::open(option)?;
        arguments.extend(["--net".into(), format!("fd={},{}", tap.fd.as_raw_fd(), option.device.join(","))]);
        keep.push(tap.fd);
        before.extend(tap.saved);
    }
    for net in &o.net {
        arguments.extend(["--net".into(), net.device.join(",")]);
    }
    let connected = Tsc::now();
    let record = Record {
        name: directory.name().into(),
        image: name,
        config: None,
        taps: o.tap.iter().map(|t| &t.name).chain(o.net.iter().map(|n| &n.device[0])).cloned().collect(),
        pid: 0,
        started_unix_ns: unix_ns(),
    };
    Ok(Monitor {
        program: "microvisor-linux",
        directory,
        record,
        image: source.path().to_owned(),
        arguments,
        keep,
        phases: vec![
            (Phase::Request, begun, understood),
            (Phase::Image, understood, found),
            (Phase::Network, found, connected),
        ],
        sockets: Sockets(o.net.iter().filter_map(|net| net.listens_at.clone()).collect()),
        taps: before,
    })
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn of_kernel(o: &RunOptions, kernel: &Path) -> Result<LinuxPlan, Error> {
    let mut arguments = Vec::new();
    for (option, file) in [("--kernel", Some(kernel)), ("--initrd", o.linux.initrd.as_deref())] {
        let Some(file) = file else { continue };
        File::open(file).map_err(|e| Error::image(format!("{}: {e}", file.display())))?;
        arguments.extend([option.into(), absolute(file)]);
    }
    let command_line = COMMAND_LINE.into();
    Ok(LinuxPlan { arguments, keep: Vec::new(), command_line, cpus: 1, memory_mib: MEMORY_DEFAULT_MIB })
}

/// The monitor is given the files as they were checked, whatever becomes of the folder.
fn of_bundle(o: &RunOptions, folder: &Path) -> Result<LinuxPlan, Error> {
    let Bundle { description, kernel, initrd, disk, .. } = {
        let bundle = Bundle::open(folder, true)?;
        bundle
            .check_memory(o.memory.unwrap_or(bundle.description.memory_mib))
            .map_err(Error::Configuration)?;
        bundle
    };
    let mut arguments = Vec::new();
    let mut keep = Vec::new();
    for (option, file) in [("--kernel", Some(kernel)), ("--initrd", initrd), ("--disk", disk)] {
        let Some(file) = file else { continue };
        arguments.extend([option.into(), format!("/proc/self/fd/{}", file.as_raw_fd())]);
        keep.push(file.into());
    }
    let (cpus, memory_mib) = (description.cpus, description.memory_mib);
    Ok(LinuxPlan { arguments, keep, command_line: description.cmdline, cpus, memory_mib })
}

/// Refuses what a kernel is not told by its devices.
fn check_device(option: &str, guest: &Addresses, device: &[String]) -> Result<(), Error> {
    if !guest.own.is_empty() || !guest.gateways.is_empty() {
        return Err(Error::Configuration(format!(
            "{option}: a Linux guest gives itself its addresses: leave guest and gateway out"
        )));
    }
    if device.iter().any(|pair| pair.starts_with("queue=")) {
        return Err(Error::Configuration(format!("{option}: a Linux guest's queues have 256 entries")));
    }
    Ok(())
}
