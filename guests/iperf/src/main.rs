//! iperf3 as a guest: a server that takes test after test, or a client.
//!
//! The word `args` holds iperf3's own arguments: `--set 'args=-c 10.0.0.2 -P 4 -R'`; none: a server on port 5201.
//! `iperf_protocol::options` lists what is known. [`control`] carries the control connection, [`flow`] the data,
//! [`server`] and [`client`] take a test from its beginning to its end.
#![no_std]
#![no_main]

extern crate alloc;

mod client;
mod control;
mod flow;
mod server;

use alloc::string::String;
use iperf_protocol::options;
use minios::future::{Either, select};
use minios::net::stack::Stack;
use minios::{boot, control as operator, executor, net, println, registers};

minios::image! {
    name: "iperf",
    main: main,
    net_minimum: 1,
    net_maximum: 1,
    net_features: net::PLAIN | net::OFFLOADS,
    memory_minimum: 16 << 20,
    memory_default: 64 << 20,
}

/// Bytes of IP and UDP headers.
const HEADERS: u32 = 28;

fn main() -> Result<(), String> {
    let mtu = boot::net_devices().first().map_or(1500, |device| device.mtu);
    let datagram = u32::from(mtu).saturating_sub(HEADERS);
    let options = options::parse(boot::variable("args").unwrap_or(""), datagram)?;
    executor::run(async {
        let stack = Stack::start(0).ok_or("the net device cannot be used")?;
        registers::ready();
        let work = async {
            match options.server {
                Some(address) => {
                    client::run(&stack, address, &options).await.map_err(|e| alloc::format!("{e}"))
                }
                None => {
                    println!("listening on port {}", options.port);
                    server::run(&stack, &options, datagram).await;
                    Ok(())
                }
            }
        };
        match select(work, operator::stop_requested()).await {
            Either::Left(result) => result,
            Either::Right(_) => Ok(()),
        }
    })
}
