//! Redis as a unikernel: the engine of `redis-engine`, connections over TCP.
//!
//! Options on the command line: `port`, `maxmemory` (bytes), `maxclients`, `requirepass`. Ends with 0 when it is asked to
//! stop, or by SHUTDOWN.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod memory;
mod serve;

use alloc::format;
use alloc::string::String;
use core::time::Duration;
use memory::ConnectionMemory;
use minios::abi::boot::{MARK_CONFIGURE, MARK_DEVICES};
use minios::abi::control::STATUS_NOT_FOUND;
use minios::clock::Instant;
use minios::control::{Reply, Request};
use minios::idle::Source;
use minios::net::listener::Listener;
use minios::{ExitCode, boot, clock, control, heap, idle, net, println, random, registers};
use redis_engine::{Engine, Setup};
use serve::Connections;

/// Exit code: an option is wrong, or there is no net device.
const WRONG_CONFIGURATION: ExitCode = ExitCode(2);

minios::image! {
    name: "redis",
    main: main,
    memory_minimum: 16 << 20,
    memory_default: 256 << 20,
    stack_size: 256 << 10,
    heap_touched: 256 << 10,
    net_minimum: 1,
    net_maximum: 1,
    net_features: net::PLAIN | net::OFFLOADS,
}

/// The value of a numeric option.
fn number(name: &str) -> Result<Option<usize>, ExitCode> {
    let Some(text) = boot::variable(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        println!("{name}: {text:?} is not a number");
        WRONG_CONFIGURATION
    })
}

fn unix_us() -> u64 {
    clock::unix_ns() / 1000
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn run() -> Result<(), ExitCode> {
    control::defer_doorbell(true);
    let port = number("port")?.unwrap_or(6379);
    let Ok(port @ 1..) = u16::try_from(port) else {
        println!("port: {port} is not a port");
        return Err(WRONG_CONFIGURATION);
    };
    let Some(mut listener) = Listener::open(0, port) else {
        println!("no net device");
        return Err(WRONG_CONFIGURATION);
    };
    boot::mark(MARK_DEVICES);
    let mut buffers = ConnectionMemory::new(heap::size());
    let most = buffers.max_connections();
    let setup = Setup {
        seed: [random::next_u64(), random::next_u64()],
        heap_used: heap::used,
        heap_size: heap::size(),
        clock_ns: || clock::now().0,
        busy_us: || (clock::now().0 / 1000).saturating_sub(idle::slept().as_micros() as u64),
        max_memory: number("maxmemory")?,
        max_clients: number("maxclients")?.unwrap_or(10_000).min(most),
        password: String::from(boot::variable("requirepass").unwrap_or("")),
        port,
    };
    let mut engine = Engine::new(setup, unix_us());
    let mut connections = Connections::default();
    boot::mark(MARK_CONFIGURE);
    println!("serving on port {port}, no persistence, at most {} clients", engine.max_clients());
    registers::ready();
    while !engine.is_shut_down() && control::stop_deadline().is_none() {
        round(&mut listener, &mut engine, &mut connections, &mut buffers);
    }
    listener.close(clock::now());
    Ok(())
}

/// Receives packets, serves their clients, and transmits replies. Sleeps if there was nothing to do.
fn round(
    listener: &mut Listener,
    engine: &mut Engine,
    connections: &mut Connections,
    buffers: &mut ConnectionMemory,
) {
    let asked = control::poll(&mut |request: Request<'_>| answer(engine, request));
    let now = clock::now();
    engine.set_time(unix_us());
    let due = engine.tick();
    let worked = connections.round(listener, engine, buffers, now);
    listener.flush();
    if worked || asked {
        return;
    }
    let unix_ms = unix_us() / 1000;
    let due = due.map(|ms| now + Duration::from_millis(ms.saturating_sub(unix_ms).max(1)));
    let deadline = [due, listener.deadline(now)].into_iter().flatten().min();
    idle::wait(&mut [listener as &mut dyn Source], deadline.map(|d: Instant| d));
}

/// Handles a request of the operator.
fn answer(engine: &Engine, request: Request<'_>) -> Reply {
    match request {
        Request::Read("keys") => Reply::ok(format!("{}", engine.keys())),
        Request::Read("clients") => Reply::ok(format!("{}", engine.clients())),
        Request::Statistics => Reply::ok(format!(
            "keys {}\nclients {}\ncommands {}\nmemory {}\n",
            engine.keys(),
            engine.clients(),
            engine.commands(),
            heap::used()
        )),
        _ => Reply::refused(STATUS_NOT_FOUND, "no such handler"),
    }
}
