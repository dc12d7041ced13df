//! TCP and UDP over whatever offloads were agreed on: what goes through arrives, and arrives right.
//!
//! UDP port 7 echoes. TCP port 7 echoes; port 9 takes the pattern until the peer closes, and answers `N ok` or
//! `N bad at M`; port 19 reads a number and a newline, and sends so many bytes of the pattern. The pattern's byte `i` is
//! the highest byte of `i * 2654435761` modulo 2^32. Ends with 0 when asked to stop.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::vec;
use minios::net::stack::{NetError, Stack, TcpSocket, UdpSocket};
use minios::{ExitCode, control, executor, println, registers};

minios::image! {
    name: "serves-tcp",
    main: main,
    net_minimum: 1,
    net_maximum: 1,
    net_features: minios::net::PLAIN | minios::net::OFFLOADS,
    memory_minimum: 8 << 20,
    memory_default: 16 << 20,
}

/// Bytes of a socket's buffer in each direction.
const BUFFER: usize = 256 << 10;

fn pattern(i: usize) -> u8 {
    ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8
}

async fn echo(socket: &mut TcpSocket) -> Result<(), NetError> {
    let mut bytes = vec![0; 32 << 10];
    loop {
        match socket.read(&mut bytes).await? {
            0 => return Ok(()),
            n => socket.write_all(&bytes[..n]).await?,
        }
    }
}

async fn sink(socket: &mut TcpSocket) -> Result<(), NetError> {
    let mut bytes = vec![0; 64 << 10];
    let (mut at, mut bad) = (0, None);
    loop {
        let n = socket.read(&mut bytes).await?;
        if n == 0 {
            break;
        }
        let wrong = bytes[..n].iter().enumerate().find(|&(i, &byte)| byte != pattern(at + i));
        bad = bad.or(wrong.map(|(i, _)| at + i));
        at += n;
    }
    let verdict = bad.map_or(format!("{at} ok\n"), |place| format!("{at} bad at {place}\n"));
    println!("sink: {}", verdict.trim_end());
    socket.write_all(verdict.as_bytes()).await
}

async fn source(socket: &mut TcpSocket) -> Result<(), NetError> {
    let mut request = [0; 32];
    let n = socket.read(&mut request).await?;
    let text = core::str::from_utf8(&request[..n]).unwrap_or("");
    let length = text.trim().parse().unwrap_or(0);
    let mut bytes = vec![0; 64 << 10];
    let mut at = 0;
    while at < length {
        let n = bytes.len().min(length - at);
        for (i, byte) in bytes[..n].iter_mut().enumerate() {
            *byte = pattern(at + i);
        }
        socket.write_all(&bytes[..n]).await?;
        at += n;
    }
    println!("source: {at}");
    Ok(())
}

async fn serve(stack: Stack, port: u16) {
    loop {
        let mut socket = TcpSocket::new(&stack, BUFFER);
        if socket.accept(port).await.is_err() {
            continue;
        }
        let result = match port {
            7 => echo(&mut socket).await,
            9 => sink(&mut socket).await,
            _ => source(&mut socket).await,
        };
        match result {
            Ok(()) => socket.close().await,
            Err(error) => println!("port {port}: {error}"),
        }
    }
}

async fn udp_echo(stack: Stack) -> Result<(), NetError> {
    let mut socket = UdpSocket::bind(&stack, 7, 64 << 10)?;
    let mut bytes = vec![0; 2048];
    loop {
        let (n, from) = socket.receive(&mut bytes).await;
        socket.send(&bytes[..n], from).await?;
    }
}

fn main() -> ExitCode {
    executor::run(async {
        let Some(stack) = Stack::start(0) else { return ExitCode(2) };
        for port in [7, 9, 19, 7, 9, 19] {
            executor::spawn(serve(stack.clone(), port));
        }
        executor::spawn(async move {
            if let Err(error) = udp_echo(stack).await {
                println!("udp: {error}");
            }
        });
        println!("serving");
        registers::ready();
        control::stop_requested().await;
        ExitCode::SUCCESS
    })
}
