//! `microvisor console`: the console of an instance on this terminal.

use super::{Refusal, TIMEOUT, connect, unexpected};
use crate::node::{context, instances};
use crate::output::{self, Failure, note};
use crate::process::RawTerminal;
use machine::control::{CallError, Request, Response};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// Key that leaves the console: Ctrl-].
const LEAVE: u8 = 0x1d;

/// Attaches to an instance's console, until the key is pressed or the instance ends.
pub fn console(name: &str) -> Result<(), Failure> {
    let broken = |e: CallError| Failure::from(Refusal::Call(name.into(), e));
    let mut client = match connect(name) {
        Ok(client) => client,
        // From elsewhere it is seen, and nothing is typed into it.
        Err(_) if context::is_remote() && instances::has(name) => {
            note(format!("console of {name}, to look at; press Ctrl-C to leave\n"));
            return instances::follow_console(name, |piece| output::print(piece));
        }
        Err(e) => return Err(e.into()),
    };
    match client.call(&Request::Console, TIMEOUT).map_err(broken)? {
        Response::Done { .. } => {}
        Response::Refused { kind, message } => return Err(Refusal::Refused(kind, message).into()),
        _ => return Err(unexpected(name)),
    }
    let (early, stream) = client.into_console();
    stream.set_read_timeout(None).map_err(|e| broken(e.into()))?;
    let keys = stream.try_clone().map_err(|e| broken(e.into()))?;
    let terminal = RawTerminal::enter();
    if terminal.is_some() {
        note(format!("console of {name}; press Ctrl-] to leave\n"));
    }
    std::thread::spawn(move || send_keys(keys));
    output::print(early)?;
    show(stream)
}

/// Sends what is typed, until the key that leaves.
fn send_keys(mut to: UnixStream) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = io::stdin().read(&mut buffer) {
        let typed = &buffer[..n];
        let end = typed.iter().position(|&b| b == LEAVE);
        if to.write_all(&typed[..end.unwrap_or(n)]).is_err() || end.is_some() {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// Prints what the guest prints.
fn show(mut from: UnixStream) -> Result<(), Failure> {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => output::print(&buffer[..n])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(()),
        }
    }
}
