//! ClickOS: a Click configuration as a guest of its own.
//!
//! The configuration is the image's configuration blob, its variables are the words of the command line. Packets go
//! from the device's buffers to the elements and back without a copy ([`buffer`], [`host`]). The operator reads and
//! writes handlers, and replaces the configuration, through the control socket or the console ([`operator`]). [`preparation`] is
//! what can be done before anybody has asked for the instance.
//!
//! Ends with 0 when asked to stop and when the router has stopped by itself, with 2 if the configuration is wrong.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod buffer;
mod host;
mod operator;
mod preparation;

use alloc::string::String;
use alloc::vec::Vec;
use click::{Progress, Router, Source};
use host::ClickHost;
use minios::abi::boot::{MARK_CONFIGURE, MARK_DEVICES};
use minios::abi::image::{CONFIG_REQUIRED, text};
use minios::clock::Instant;
use minios::{ExitCode, boot, control, idle, println, registers};
use operator::{Console, Operator};

/// Exit code: the configuration is wrong; the console says where.
const WRONG_CONFIGURATION: ExitCode = ExitCode(2);
/// Rounds of the router between two looks at the control ring.
const ROUNDS: usize = 16;

minios::image! {
    name: "clickos",
    main: main,
    prepare: prepare,
    memory_minimum: 2 << 20,
    memory_default: 16 << 20,
    stack_size: 512 << 10,
    heap_touched: 128 << 10,
    net_maximum: 16,
    config: CONFIG_REQUIRED,
    config_format: text("click"),
}

fn prepare() {
    preparation::prepare(host::POSTED_FIRST);
}

fn main() -> ExitCode {
    control::defer_doorbell(true);
    let mut host = ClickHost::open();
    boot::mark(MARK_DEVICES);

    let variables: Vec<(String, String)> = boot::variables().map(|(n, v)| (n.into(), v.into())).collect();
    let Ok(text) = core::str::from_utf8(boot::config()) else {
        println!("config: not UTF-8");
        return WRONG_CONFIGURATION;
    };
    let mut router = match Router::new(&Source { name: "config", text }, &variables, &mut host) {
        Ok(router) => router,
        Err(diagnostics) => {
            println!("{diagnostics}");
            return WRONG_CONFIGURATION;
        }
    };
    boot::mark(MARK_CONFIGURE);
    registers::ready();

    let mut console = Console::default();
    loop {
        control::poll(&mut Operator { router: &mut router, host: &mut host, variables: &variables });
        console.poll(&mut router, &mut host);
        if control::stop_deadline().is_some() {
            return ExitCode::SUCCESS;
        }
        match router.run(&mut host, ROUNDS) {
            Progress::Busy => {}
            Progress::Stopped => return ExitCode::SUCCESS,
            Progress::Idle { until } => idle::wait(&mut host.sources(), until.map(Instant)),
        }
    }
}
