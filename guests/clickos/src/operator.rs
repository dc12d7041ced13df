//! The operator's requests: handlers, statistics, a new configuration; on the control ring or typed at the console.

use crate::host::ClickHost;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use click::{HandlerError, Router, Source};
use core::fmt::Write;
use minios::abi::control::{STATUS_FORBIDDEN, STATUS_NOT_FOUND, STATUS_REFUSED};
use minios::control::{Reply, Request, RequestHandler};
use minios::{boot, clock, console, heap, println};

/// Longest line that can be typed, bytes.
const LINE_MAXIMUM: usize = 4096;

/// Heap that a byte of configuration takes in the worst case that was tried (nothing but short elements), bytes.
const HEAP_PER_BYTE: usize = 320;

/// Handles requests with the running router.
pub struct Operator<'a> {
    pub router: &'a mut Router,
    pub host: &'a mut ClickHost,
    pub variables: &'a [(String, String)],
}

impl RequestHandler for Operator<'_> {
    fn handle(&mut self, request: Request<'_>) -> Reply {
        match request {
            Request::Read(handler) => match self.router.read(self.host, handler) {
                Ok(value) => Reply::ok(value),
                Err(error) => refused(&error),
            },
            Request::Write(handler, value) => {
                let Ok(value) = core::str::from_utf8(value) else {
                    return Reply::refused(STATUS_REFUSED, "the value is not UTF-8");
                };
                match self.router.write(self.host, handler, value) {
                    Ok(()) => Reply::ok([]),
                    Err(error) => refused(&error),
                }
            }
            Request::Configure(text) => self.configure(text),
            Request::Statistics => Reply::ok(statistics(self.host)),
        }
    }
}

impl Operator<'_> {
    /// Replaces the router if the new configuration is valid; keeps the old one otherwise.
    fn configure(&mut self, text: &[u8]) -> Reply {
        let Ok(text) = core::str::from_utf8(text) else {
            return Reply::refused(STATUS_REFUSED, "the configuration is not UTF-8");
        };
        // Running out of memory while the new router is built would end the running one.
        let most = heap::size().saturating_sub(heap::used()) / HEAP_PER_BYTE;
        if text.len() > most {
            let why =
                format!("the configuration has {} bytes; the free memory suffices for {most}", text.len());
            return Reply::refused(STATUS_REFUSED, why);
        }
        match Router::new(&Source { name: "config", text }, self.variables, self.host) {
            Ok(mut router) => {
                core::mem::swap(self.router, &mut router);
                self.router.take_over(router);
                Reply::ok([])
            }
            Err(diagnostics) => Reply::refused(STATUS_REFUSED, format!("{diagnostics}")),
        }
    }
}

fn refused(error: &HandlerError) -> Reply {
    let status = match error {
        HandlerError::NotFound(_) => STATUS_NOT_FOUND,
        HandlerError::Forbidden(_) => STATUS_FORBIDDEN,
        HandlerError::Refused(_) => STATUS_REFUSED,
    };
    Reply::refused(status, format!("{error}"))
}

fn statistics(host: &ClickHost) -> String {
    let mut text = String::new();
    let names = ["received", "transmitted", "dropped", "yields"];
    for (index, name) in names.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} {}", boot::counter(index));
    }
    let _ = writeln!(text, "heap_used {}", heap::used());
    let _ = writeln!(text, "up_ns {}", clock::now().0);
    for index in host.broken() {
        let _ = writeln!(text, "broken eth{index}");
    }
    text
}

/// Lines that are typed at the console.
#[derive(Default)]
pub struct Console {
    line: Vec<u8>,
}

impl Console {
    /// Does what complete lines ask for.
    pub fn poll(&mut self, router: &mut Router, host: &mut ClickHost) {
        let mut bytes = [0; 256];
        loop {
            let n = console::try_read(&mut bytes);
            if n == 0 {
                return;
            }
            for &byte in &bytes[..n] {
                if byte != b'\n' && byte != b'\r' {
                    if self.line.len() < LINE_MAXIMUM {
                        self.line.push(byte);
                    }
                    continue;
                }
                let line = core::mem::take(&mut self.line);
                command(String::from_utf8_lossy(&line).trim(), router, host);
            }
        }
    }
}

fn command(line: &str, router: &mut Router, host: &mut ClickHost) {
    let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    let (handler, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match verb {
        "" => {}
        "read" => match router.read(host, rest) {
            Ok(value) => println!("{}", value.trim_end()),
            Err(error) => println!("{error}"),
        },
        "write" => {
            if let Err(error) = router.write(host, handler, value.trim_start()) {
                println!("{error}");
            }
        }
        "stats" => minios::print!("{}", statistics(host)),
        _ => println!("read ELEMENT.HANDLER | write ELEMENT.HANDLER VALUE | stats"),
    }
}
