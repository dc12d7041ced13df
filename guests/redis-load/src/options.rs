//! The options on the command line.

use alloc::format;
use alloc::string::String;
use core::net::IpAddr;
use minios::boot;

/// The options, parsed and checked.
pub struct Options {
    /// Address of the server.
    pub server: IpAddr,
    /// Its TCP port.
    pub port: u16,
    /// Connections.
    pub clients: usize,
    /// Requests sent at a time on each connection.
    pub pipeline: usize,
    /// Requests in all.
    pub requests: u64,
    /// Number of different keys.
    pub keys: u64,
    /// Length of a value, bytes.
    pub size: usize,
    /// GET requests, percent of all; the others are SET.
    pub reads: u64,
    /// Password for AUTH.
    pub password: Option<&'static str>,
}

fn number(name: &str, default: u64, least: u64, most: u64) -> Result<u64, String> {
    let Some(text) = boot::variable(name) else { return Ok(default) };
    match text.parse() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("{name}={text}: expected a number from {least} to {most}")),
    }
}

impl Options {
    /// Reads the command line.
    pub fn read() -> Result<Self, String> {
        let server = boot::variable("server").ok_or("server=ADDRESS is missing")?;
        Ok(Self {
            server: server.parse().map_err(|_| format!("server={server}: not an address"))?,
            port: number("port", 6379, 1, 65535)? as u16,
            clients: number("clients", 50, 1, 500)? as usize,
            pipeline: number("pipeline", 1, 1, 1000)? as usize,
            requests: number("requests", 100_000, 1, 1 << 40)?,
            keys: number("keys", 10_000, 1, 1 << 40)?,
            size: number("size", 3, 0, 1 << 20)? as usize,
            reads: number("reads", 50, 0, 100)?,
            password: boot::variable("password"),
        })
    }
}
