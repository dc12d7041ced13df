//! Every guest sends to every other, and looks at every byte that comes.
//!
//! The words: `number=N` of `peers=M`; its address is 10.9.5.(N + 1). Datagrams to UDP port 9 of each peer in turn begin
//! with sender, receiver and a count; their length and all other bytes follow from these. Once a second a line says how
//! many have come from each, and how many of all were wrong: `heard 0 12 13 ..., wrong 0`. Ends with 0 when asked to stop.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::Write;
use core::time::Duration;
use minios::future::{Either, select};
use minios::net::stack::{NetError, Stack, UdpSocket};
use minios::{ExitCode, boot, control, executor, println, registers};
use smoltcp::wire::{IpAddress, IpEndpoint};

minios::image! {
    name: "meets-peers",
    main: main,
    net_minimum: 1,
    net_maximum: 1,
    net_features: minios::net::PLAIN | minios::net::OFFLOADS,
    memory_minimum: 8 << 20,
    memory_default: 16 << 20,
}

const PORT: u16 = 9;
/// Bytes of sender, receiver and count.
const HEAD: usize = 10;
const LONGEST: usize = 1400;
/// Between two datagrams of a guest.
const PAUSE: Duration = Duration::from_micros(1500);

fn word(name: &str) -> u8 {
    boot::variable(name).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The datagram that a sender makes for a receiver; only as long as `to` has room.
fn make(sender: u8, receiver: u8, count: u64, to: &mut Vec<u8>) {
    let mut state = count << 16 | u64::from(sender) << 8 | u64::from(receiver) | 1 << 63;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = HEAD + next() as usize % (LONGEST - HEAD);
    to.clear();
    to.extend([sender, receiver]);
    to.extend(count.to_le_bytes());
    while to.len() < length {
        to.extend(next().to_le_bytes());
    }
    to.truncate(length);
}

/// What has come so far.
struct Heard {
    from: Vec<u64>,
    wrong: u64,
}

async fn listen(stack: &Stack, number: u8, heard: &RefCell<Heard>) -> Result<(), NetError> {
    let mut socket = UdpSocket::bind_deep(stack, PORT, 256 << 10, 256)?;
    let mut bytes = vec![0; 2048];
    let mut right = Vec::with_capacity(LONGEST + 8);
    loop {
        let (n, _) = socket.receive(&mut bytes).await;
        let got = &bytes[..n];
        let mut heard = heard.borrow_mut();
        let count = got.get(2..HEAD).and_then(|c| c.try_into().ok()).map_or(0, u64::from_le_bytes);
        let sender = got.first().copied().unwrap_or(u8::MAX);
        make(sender, number, count, &mut right);
        match heard.from.get_mut(usize::from(sender)).filter(|_| got == right) {
            Some(from) => *from += 1,
            None => heard.wrong += 1,
        }
    }
}

async fn speak(stack: &Stack, number: u8, peers: u8) -> Result<(), NetError> {
    let mut sockets = Vec::new();
    // One each: a peer that is not found keeps no other waiting.
    for _ in 0..peers {
        sockets.push(UdpSocket::bind_any(stack, 16 << 10, 16)?);
    }
    let mut bytes = Vec::with_capacity(LONGEST + 8);
    for count in 0.. {
        for peer in (0..peers).filter(|&peer| peer != number) {
            make(number, peer, count, &mut bytes);
            let to = IpEndpoint::new(IpAddress::v4(10, 9, 5, peer + 1), PORT);
            // One that waits for its address has no room: the next one comes round.
            minios::future::timeout(Duration::ZERO, sockets[usize::from(peer)].send(&bytes, to)).await;
            executor::sleep(PAUSE).await;
        }
    }
    Ok(())
}

async fn tell(heard: &RefCell<Heard>) {
    loop {
        executor::sleep(Duration::from_secs(1)).await;
        let heard = heard.borrow();
        let mut line = String::from("heard");
        for from in &heard.from {
            let _ = write!(line, " {from}");
        }
        println!("{line}, wrong {}", heard.wrong);
    }
}

fn main() -> ExitCode {
    let (number, peers) = (word("number"), word("peers"));
    let heard = RefCell::new(Heard { from: vec![0; peers.into()], wrong: 0 });
    executor::run(async {
        let Some(stack) = Stack::start(0) else { return ExitCode(2) };
        registers::ready();
        let work = select(select(listen(&stack, number, &heard), speak(&stack, number, peers)), tell(&heard));
        match select(work, control::stop_requested()).await {
            Either::Left(_) => ExitCode(3),
            Either::Right(_) => ExitCode::SUCCESS,
        }
    })
}
