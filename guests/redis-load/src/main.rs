//! Loads a Redis server and measures it, from a guest of its own.
//!
//! Options on the command line:
//!
//! | option | meaning | default |
//! |---|---|---|
//! | `server` | address of the server | required |
//! | `port` | its port | 6379 |
//! | `clients` | connections | 50 |
//! | `pipeline` | requests sent at a time on each | 1 |
//! | `requests` | requests in all | 100000 |
//! | `keys` | how many different keys there are | 10000 |
//! | `size` | bytes of a value | 3 |
//! | `reads` | percent of the requests that are GET; the others are SET | 50 |
//! | `password` | for AUTH | none |
//!
//! Prints throughput and a histogram of latencies. Ends with 0; with 1 if the server did not answer as it should, with 2
//! if an option is wrong.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod connection;
mod histogram;
mod options;

use alloc::rc::Rc;
use connection::{Shared, run_connection};
use core::cell::RefCell;
use histogram::Histogram;
use minios::net::stack::Stack;
use minios::{ExitCode, control, executor, net, println, registers};
use options::Options;

minios::image! {
    name: "redis-load",
    main: main,
    memory_minimum: 16 << 20,
    memory_default: 64 << 20,
    heap_touched: 512 << 10,
    net_minimum: 1,
    net_maximum: 1,
    net_features: net::PLAIN | net::OFFLOADS,
}

/// Exit code: an option is wrong, or there is no net device.
const WRONG_CONFIGURATION: ExitCode = ExitCode(2);

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(message) => {
            println!("{message}");
            return WRONG_CONFIGURATION;
        }
    };
    executor::run(run(Rc::new(options)))
}

async fn run(options: Rc<Options>) -> ExitCode {
    let Some(stack) = Stack::start(0) else {
        println!("no net device");
        return WRONG_CONFIGURATION;
    };
    let shared = Rc::new(RefCell::new(Shared::new(&options)));
    registers::ready();
    for number in 0..options.clients {
        executor::spawn(run_connection(stack.clone(), options.clone(), shared.clone(), number as u64));
    }
    let stopped = shared.clone();
    executor::spawn(async move {
        control::stop_requested().await;
        stopped.borrow_mut().wake();
    });
    while !shared.borrow().is_done() {
        if let Some(why) = shared.borrow().failed {
            println!("{why}");
            return ExitCode(1);
        }
        if control::stop_deadline().is_some() {
            println!("stopped after {} requests", shared.borrow().replies);
            return ExitCode(1);
        }
        Shared::changed(&shared).await;
    }
    report(&options, &shared.borrow())
}

fn report(options: &Options, shared: &Shared) -> ExitCode {
    let (Some(started), Some(ended)) = (shared.started, shared.ended) else { return ExitCode(1) };
    let seconds = ended.since(started).as_secs_f64();
    let rate = shared.replies as f64 / seconds;
    println!(
        "{} requests in {seconds:.3} s by {} clients, pipeline {}, {} keys, values of {} bytes, {} % reads",
        shared.replies, options.clients, options.pipeline, options.keys, options.size, options.reads
    );
    println!("throughput {rate:.0} requests/s");
    show(&shared.latencies);
    if shared.errors > 0 {
        println!("{} error replies, the first: {}", shared.errors, shared.first_error);
        return ExitCode(1);
    }
    ExitCode::SUCCESS
}

/// Percentiles, and how the latencies spread over powers of two.
fn show(latencies: &Histogram) {
    for (name, fraction) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        println!("latency {name:<5} {:>10.1} us", latencies.quantile(fraction) as f64 / 1000.0);
    }
    let total = latencies.total().max(1);
    for (least, most, count) in latencies.octaves() {
        let percent = count as f64 * 100.0 / total as f64;
        let bar = "################################################################";
        let bar = &bar[..(percent * 0.6) as usize];
        println!("{:>9.1} to {:>9.1} us {percent:>6.2} % {bar}", least as f64 / 1000.0, most as f64 / 1000.0);
    }
}
