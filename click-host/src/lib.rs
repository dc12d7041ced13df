//! The program `click`: runs a Click configuration on the host, with the host's devices, sockets and files.
//!
//! | module | what it does |
//! |---|---|
//! | `options` | the command line |
//! | `configuration` | where the configuration comes from |
//! | [`library`] | what `require(library FILE)` brings in |
//! | `driver` | runs the router, replaces it, ends with a status |
//! | `threads` | the threads that a router runs on |
//! | `report` | errors and the values of handlers, in the words of Click |
//! | [`host`] | the world as elements see it |
//! | [`watch`] | waits for files and sockets |
//! | [`control`] | the control protocol: the element and the options `-p` and `-u` |
//! | [`devices`], [`sockets`], [`traces`] | elements that exist on a host only |
//! | `tools` | programs that change configurations: `click-flatten`, `click-undead` |
//! | `sys` | system calls that no library wraps: the only `unsafe` code |
#![deny(unsafe_code)]

extern crate alloc;

mod clock;
mod configuration;
pub mod control;
pub mod devices;
mod driver;
mod files;
mod handlers;
pub mod host;
pub mod library;
mod options;
mod output;
mod report;
mod signals;
pub mod sockets;
mod sys;
mod threads;
mod tools;
pub mod traces;
pub mod watch;

use click::element::{Class, Described};
use click::elements::aggregate;
use std::ffi::OsString;
use std::process::ExitCode;

macro_rules! library {
    ($($subject:ident::$name:ident),* $(,)?; $($alias:literal = $other:ident::$original:ident),* $(,)?) => {
        /// Classes of elements that exist on a host only.
        pub static CLASSES: &[&Class] = &[
            $(&<$subject::$name as Described>::CLASS,)*
            $(&Class { name: $alias, ..<$other::$original as Described>::CLASS },)*
        ];

        /// Classes with their subjects: what the manual is made of.
        #[cfg(feature = "manual")]
        pub fn manual() -> impl Iterator<Item = (&'static str, &'static Class)> {
            let subjects = [$(stringify!($subject),)* $(stringify!($other),)*];
            subjects.into_iter().zip(CLASSES.iter().copied())
        }
    };
}

library! {
    aggregate::AggregateFirst, aggregate::AggregateIPAddrPair, aggregate::AggregateIPFlows, aggregate::AggregateLast,
    aggregate::AggregatePacketCounter,
    control::ControlSocket,
    devices::FromDevice, devices::FromDPDKDevice, devices::FromHost, devices::KernelTap, devices::KernelTun, devices::ToDevice, devices::ToDPDKDevice, devices::ToHost,
    sockets::ChatterSocket, sockets::McastSocket, sockets::RawSocket, sockets::Socket, sockets::ToSocket, traces::FromDump, traces::FromIPSummaryDump, traces::FromTcpdump,
    traces::ToDump, traces::ToIPSummaryDump;
    "FromSocket" = sockets::Socket,
    "PollDevice" = devices::FromDevice,
}

/// Runs the program with its command line, its own name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(tool) = arguments.first().and_then(tools::Tool::named) {
        return tool.run(arguments);
    }
    match options::parse(arguments) {
        Ok(options::Invocation::Run(options)) => driver::run(*options),
        Ok(options::Invocation::Print(text)) => {
            output::out(&text);
            ExitCode::from(output::lost_output().unwrap_or(0))
        }
        Err(message) => {
            output::say(&format!("click: {message}"));
            output::say(
                "Usage: click [OPTION]... [ROUTERFILE] [VAR=VALUE]...\nTry 'click --help' for more information.",
            );
            ExitCode::FAILURE
        }
    }
}
