//! The versions of the programs that took part in a measurement.

use super::process::own;
use super::stock;
use std::process::{Command, Stdio};

/// The first line in which a program says its version.
pub fn version(program: &str) -> String {
    let (path, option) = match program {
        "ip" | "ping" | "tc" => (program.into(), "-V"),
        "qemu-system-x86_64" => {
            return format!("{}; {}", said(Command::new(program).arg("--version")), stock::version());
        }
        "iperf3" | "redis-server" | "redis-benchmark" => (program.into(), "--version"),
        "NPtcp" => return package("netpipe-tcp"),
        ours => (own(ours), "--version"),
    };
    said(Command::new(path).arg(option))
}

/// The first line of what a command says.
fn said(command: &mut Command) -> String {
    let said = command.stdin(Stdio::null()).output();
    let text = said.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}

/// A program that does not say its version: Debian's.
fn package(name: &str) -> String {
    let said = Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Version}", name]).output();
    said.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
}
