//! NetPIPE-TCP as a guest: a receiver that takes session after session, or a transmitter.
//!
//! The word `args` holds NPtcp's own arguments: `--set 'args=-h 10.0.0.2 -l 64 -u 65536'`; none: a receiver on port
//! 5002. `netpipe_protocol::options` lists what is known. As between two NPtcp, `-l` and `-p` have to be the same on
//! both sides, and for a transmitter here `-u` too.
#![no_std]
#![no_main]

extern crate alloc;

mod session;

use alloc::format;
use alloc::string::String;
use core::time::Duration;
use minios::future::{Either, select, timeout};
use minios::net::stack::{Stack, TcpSocket};
use minios::{boot, control, executor, net, println, registers};
use netpipe_protocol::options::{self, Options};
use session::{Ended, Session};
use smoltcp::wire::IpEndpoint;

minios::image! {
    name: "netpipe",
    main: main,
    net_minimum: 1,
    net_maximum: 1,
    net_features: net::PLAIN | net::OFFLOADS,
    memory_minimum: 8 << 20,
    memory_default: 32 << 20,
}

/// Bytes of a socket's buffer in each direction.
const BUFFER: usize = 512 << 10;
/// How long a peer may be silent.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

async fn receive(stack: &Stack, options: &Options) {
    let mut next = TcpSocket::new(stack, BUFFER);
    loop {
        let mut socket = core::mem::replace(&mut next, TcpSocket::new(stack, BUFFER));
        if socket.accept(options.port).await.is_err() {
            continue;
        }
        // Who comes while this session goes on, or comes to its end, waits as at a socket that listens.
        let _ = select(next.accept(options.port), core::future::ready(())).await;
        socket.set_no_delay();
        socket.set_timeout(PEER_TIMEOUT);
        let mut session = Session::new(socket, options);
        match session.receive().await {
            Ok(sizes) => println!("{sizes} sizes"),
            Err(why) => println!("session given up: {why}"),
        }
        session.close().await;
    }
}

async fn transmit(stack: &Stack, options: &Options, receiver: IpEndpoint) -> Result<(), Ended> {
    let mut socket = TcpSocket::new(stack, BUFFER);
    timeout(PEER_TIMEOUT, socket.connect(receiver)).await.ok_or(Ended::Silent)??;
    socket.set_no_delay();
    socket.set_timeout(PEER_TIMEOUT);
    let mut session = Session::new(socket, options);
    session.transmit().await?;
    session.close().await;
    Ok(())
}

fn main() -> Result<(), String> {
    let options = options::parse(boot::variable("args").unwrap_or(""))?;
    executor::run(async {
        let stack = Stack::start(0).ok_or("the net device cannot be used")?;
        registers::ready();
        let work = async {
            match options.receiver {
                Some(address) => {
                    let receiver = IpEndpoint::new(address.into(), options.port);
                    transmit(&stack, &options, receiver).await.map_err(|why| format!("{why}"))
                }
                None => {
                    println!("listening on port {}", options.port);
                    receive(&stack, &options).await;
                    Ok(())
                }
            }
        };
        match select(work, control::stop_requested()).await {
            Either::Left(result) => result,
            Either::Right(_) => Ok(()),
        }
    })
}
