//! A complete guest to start from: answers UDP datagrams on port 7 until it is asked to stop.
//! `docs/writing-guests.md` walks through it.
#![no_std]
#![no_main]

use minios::net::stack::{NetError, Stack, UdpSocket};
use minios::{control, executor, net, println, registers};

minios::image! {
    name: "template",
    main: main,
    net_minimum: 1,
    net_maximum: 1,
    net_features: net::PLAIN | net::OFFLOADS,
}

async fn echo(stack: Stack) -> Result<(), NetError> {
    let mut socket = UdpSocket::bind(&stack, 7, 16 << 10)?;
    let mut datagram = [0; 1500];
    loop {
        let (length, from) = socket.receive(&mut datagram).await;
        println!("{length} bytes from {from}");
        socket.send(&datagram[..length], from).await?;
    }
}

fn main() -> Result<(), &'static str> {
    executor::run(async {
        let stack = Stack::start(0).ok_or("no net device")?;
        executor::spawn(async { echo(stack).await.unwrap() });
        registers::ready();
        control::stop_requested().await;
        Ok(())
    })
}
