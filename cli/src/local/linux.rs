//! Checks the options of a Linux guest, and makes all that its monitor is given.

use super::directory::{Record, RunDirectory};
use super::monitor::{Monitor, Sockets};
use super::tap;
use crate::options::RunOptions;
use crate::options::tap::TapOption;
use linux::options::{MEMORY_DEFAULT_MIB, MEMORY_MAXIMUM_MIB, MEMORY_MINIMUM_MIB};
use machine::error::Error;
use machine::timeline::{Phase, Tsc, unix_ns};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Everything that can be refused is refused before anything is made.
pub fn prepare(o: &RunOptions, kernel: &Path, begun: Tsc) -> Result<Monitor, Error> {
    let understood = Tsc::now();
    linux::host::require_hardware()?;
    let memory = o.memory.unwrap_or(MEMORY_DEFAULT_MIB);
    if !(MEMORY_MINIMUM_MIB..=MEMORY_MAXIMUM_MIB).contains(&memory) {
        return Err(Error::Configuration(format!(
            "--memory: a Linux guest has from {MEMORY_MINIMUM_MIB} to {MEMORY_MAXIMUM_MIB} MiB"
        )));
    }
    if !o.net.is_empty() {
        return Err(Error::Configuration("--net: a Linux guest's net devices are on TAPs: --tap".into()));
    }
    for tap in &o.tap {
        check_tap(tap)?;
    }
    let options = &o.linux;
    for file in [Some(kernel), options.initrd.as_deref()].into_iter().flatten() {
        std::fs::File::open(file).map_err(|e| Error::image(format!("{}: {e}", file.display())))?;
    }
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut arguments = vec!["--kernel".into(), absolute(kernel).display().to_string()];
    if let Some(initrd) = &options.initrd {
        arguments.extend(["--initrd".into(), absolute(initrd).display().to_string()]);
    }
    if let Some(line) = &options.cmdline {
        arguments.push(format!("--cmdline={line}"));
    }
    for disk in &options.disk {
        arguments.extend(["--disk".into(), absolute(Path::new(disk)).display().to_string()]);
    }
    arguments.extend(["--cpus".into(), options.cpus.unwrap_or(1).to_string()]);
    arguments.extend(["--memory".into(), memory.to_string()]);
    let stem = kernel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let directory = RunDirectory::take(o.name.as_deref(), &stem)?;
    arguments.extend(["--control".into(), directory.socket().display().to_string()]);
    let found = Tsc::now();
    let (mut keep, mut before) = (Vec::new(), Vec::new());
    for option in &o.tap {
        let tap = tap::open(option)?;
        arguments.extend(["--net".into(), format!("fd={},{}", tap.fd.as_raw_fd(), option.device.join(","))]);
        keep.push(tap.fd);
        before.extend(tap.before);
    }
    let connected = Tsc::now();
    let record = Record {
        name: directory.name().into(),
        image: stem,
        config: None,
        taps: o.tap.iter().map(|tap| tap.name.clone()).collect(),
        pid: 0,
        started_unix_ns: unix_ns(),
    };
    Ok(Monitor {
        program: "microvisor-linux",
        directory,
        record,
        image: kernel.to_owned(),
        arguments,
        keep,
        phases: vec![
            (Phase::Request, begun, understood),
            (Phase::Image, understood, found),
            (Phase::Network, found, connected),
        ],
        sockets: Sockets(Vec::new()),
        taps: before,
    })
}

/// Refuses what a kernel is not told by its devices.
fn check_tap(tap: &TapOption) -> Result<(), Error> {
    if !tap.guest.own.is_empty() || !tap.guest.gateways.is_empty() {
        return Err(Error::Configuration(format!(
            "--tap {}: a Linux guest gives itself its addresses: leave guest and gateway out",
            tap.name
        )));
    }
    if tap.device.iter().any(|pair| pair.starts_with("queue=")) {
        return Err(Error::Configuration(format!(
            "--tap {}: a Linux guest's queues have 256 entries",
            tap.name
        )));
    }
    Ok(())
}
