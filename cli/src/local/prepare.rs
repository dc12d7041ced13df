//! Checks the options of a run, and makes all that its monitor is given.

use super::directory::RunDirectory;
use super::monitor::{Monitor, Sockets};
use super::record::Record;
use super::tap;
use crate::engine;
use crate::images::{self, Selection};
use crate::options::RunOptions;
use crate::options::values::Addresses;
use crate::output::warn;
use crate::process;
use machine::error::Error;
use machine::timeline::Phase;
use machine::timeline::{Tsc, unix_ns};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Everything that can be refused is refused before anything is made.
pub fn prepare(o: &RunOptions, begun: Tsc) -> Result<Monitor, Error> {
    let understood = Tsc::now();
    o.linux.refuse()?;
    let Selection { image, config } = images::find(o.what(), o.config.as_deref())?;
    let memory = o.memory.map_or(image.note.memory_default, |mib| mib << 20);
    let devices: Vec<&Addresses> =
        o.tap.iter().map(|t| &t.guest).chain(o.net.iter().map(|n| &n.guest)).collect();
    image.accepts(memory, devices.len(), config.is_some())?;
    if let Some(config) = &config
        && image.config_format() == "click"
    {
        engine::check(config, &o.set, &devices)?;
    }
    for tap in &o.tap {
        tap.guest
            .doubts(&tap.addresses)
            .iter()
            .for_each(|doubt| warn(&format!("--tap {}: {doubt}", tap.name)));
    }
    for net in &o.net {
        net.guest.doubts(&[]).iter().for_each(|doubt| warn(&format!("--net {}: {doubt}", net.device[0])));
    }
    let stem = Path::new(o.what()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let directory = RunDirectory::take(o.name.as_deref(), &stem)?;
    let found = Tsc::now();
    let taps = o.tap.iter().map(tap::open).collect::<Result<Vec<_>, _>>()?;
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
    let mut before = Vec::new();
    for (option, tap) in o.tap.iter().zip(taps) {
        arguments.extend(["--net".into(), format!("fd={},{}", tap.fd.as_raw_fd(), option.device.join(","))]);
        keep.push(tap.fd);
        before.extend(tap.saved);
    }
    for net in &o.net {
        arguments.extend(["--net".into(), net.device.join(",")]);
    }
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
    let sockets = Sockets(o.net.iter().filter_map(|net| net.listens_at.clone()).collect());
    Ok(Monitor {
        program: "microvisor-vmm",
        directory,
        record,
        image: image.path,
        arguments,
        keep,
        phases,
        sockets,
        taps: before,
    })
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The configuration as it was checked, in a file that nobody can change.
fn memory_file(bytes: &[u8]) -> Result<OwnedFd, Error> {
    let file =
        process::memory_file().map_err(|source| Error::System { doing: "keep the configuration", source })?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes).map_err(|source| Error::System { doing: "keep the configuration", source })?;
    Ok(file.into())
}
