//! One connection: sends requests, a pipeline full at a time, and waits for their answers.

use crate::histogram::Histogram;
use crate::options::Options;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Poll, Waker};
use minios::clock::{self, Instant};
use minios::net::stack::{NetError, Stack, TcpSocket};
use minios::random;

/// What all connections share.
pub struct Share {
    /// Requests that nobody has taken on yet.
    left: u64,
    /// Connections that have not come about.
    awaited: usize,
    requests: u64,
    pub answered: u64,
    pub errors: u64,
    pub first_error: String,
    pub failed: Option<&'static str>,
    pub begun: Option<Instant>,
    pub ended: Option<Instant>,
    pub latencies: Histogram,
    waiting: Vec<Waker>,
}

impl Share {
    pub fn new(options: &Options) -> Self {
        Self {
            left: options.requests,
            awaited: options.clients,
            requests: options.requests,
            answered: 0,
            errors: 0,
            first_error: String::new(),
            failed: None,
            begun: None,
            ended: None,
            latencies: Histogram::new(),
            waiting: Vec::new(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.answered >= self.requests
    }

    /// Wakes everybody who waits for a change.
    pub fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Waits until it is over, or all connections have come about.
    pub async fn changed(share: &RefCell<Self>) {
        let mut asked = false;
        core::future::poll_fn(|context| {
            if core::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            share.borrow_mut().waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Counts whole replies at the start of some bytes: (replies, their bytes).
fn replies(bytes: &[u8], most: usize, mut error: impl FnMut(&[u8])) -> (usize, usize) {
    let (mut count, mut at) = (0, 0);
    while count < most {
        let Some(line) = bytes[at..].iter().position(|&b| b == b'\n') else { break };
        let text = &bytes[at..at + line];
        let mut end = at + line + 1;
        match text.first() {
            Some(b'$') => {
                let digits = core::str::from_utf8(text[1..].trim_ascii_end()).unwrap_or("");
                if let Ok(length) = digits.parse::<usize>() {
                    end += length + 2;
                }
            }
            Some(b'-') => error(text),
            _ => {}
        }
        if end > bytes.len() {
            break;
        }
        (at, count) = (end, count + 1);
    }
    (count, at)
}

/// A connection's work, to the end.
pub async fn work(stack: Stack, options: Rc<Options>, share: Rc<RefCell<Share>>, seed: u64) {
    let mut socket = TcpSocket::new(&stack, (64 << 10).min((options.size + 64) * options.pipeline + 4096));
    if let Err(error) = exchange(&mut socket, &options, &share, seed).await {
        let mut share = share.borrow_mut();
        share.failed = Some(match error {
            NetError::Closed => "the server does not answer, or has closed a connection",
            _ => "the server cannot be reached",
        });
        share.wake();
    }
}

async fn exchange(
    socket: &mut TcpSocket,
    options: &Options,
    share: &RefCell<Share>,
    seed: u64,
) -> Result<(), NetError> {
    socket.connect((options.server, options.port)).await?;
    socket.set_no_delay();
    let mut bytes = vec![0; 64 << 10];
    let mut input: Vec<u8> = Vec::new();
    if let Some(password) = options.password {
        let request = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len());
        socket.write_all(request.as_bytes()).await?;
        receive(socket, &mut bytes, &mut input, share, 1).await?;
    }
    start_together(share).await;
    let value = "x".repeat(options.size);
    let mut chance = random::next_u64() ^ seed | 1;
    let mut output = Vec::new();
    loop {
        let count = {
            let mut share = share.borrow_mut();
            let count = share.left.min(options.pipeline as u64);
            share.left -= count;
            count
        };
        if count == 0 {
            return Ok(());
        }
        output.clear();
        for _ in 0..count {
            chance ^= chance >> 12;
            chance ^= chance << 25;
            chance ^= chance >> 27;
            let number = chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8;
            request(&mut output, number % options.keys, (number >> 24) % 100 < options.reads, &value);
        }
        let sent = clock::now();
        socket.write_all(&output).await?;
        receive(socket, &mut bytes, &mut input, share, count as usize).await?;
        let now = clock::now();
        let mut share = share.borrow_mut();
        share.latencies.add(now.since(sent).as_nanos() as u64, count);
        share.answered += count;
        if share.is_done() {
            share.ended = Some(now);
            share.wake();
        }
    }
}

/// Waits until all connections are there, so that none is measured while others connect.
async fn start_together(share: &RefCell<Share>) {
    share.borrow_mut().awaited -= 1;
    if share.borrow().awaited == 0 {
        let mut share = share.borrow_mut();
        share.begun = Some(clock::now());
        share.wake();
    }
    while share.borrow().awaited > 0 {
        Share::changed(share).await;
    }
}

fn request(to: &mut Vec<u8>, key: u64, read: bool, value: &str) {
    use core::fmt::Write;
    struct Text<'a>(&'a mut Vec<u8>);
    impl Write for Text<'_> {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // Writing to memory does not fail.
    let _ = match read {
        true => write!(Text(to), "*2\r\n$3\r\nGET\r\n$16\r\nkey:{key:012}\r\n"),
        false => {
            write!(Text(to), "*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n${}\r\n{value}\r\n", value.len())
        }
    };
}

/// Waits for so many replies.
async fn receive(
    socket: &mut TcpSocket,
    bytes: &mut [u8],
    input: &mut Vec<u8>,
    share: &RefCell<Share>,
    mut count: usize,
) -> Result<(), NetError> {
    while count > 0 {
        let n = socket.read(bytes).await?;
        if n == 0 {
            return Err(NetError::Closed);
        }
        input.extend_from_slice(&bytes[..n]);
        let (got, length) = replies(input, count, |text| {
            let mut share = share.borrow_mut();
            if share.errors == 0 {
                share.first_error = String::from_utf8_lossy(text).into_owned();
            }
            share.errors += 1;
        });
        input.drain(..length);
        count -= got;
    }
    Ok(())
}
