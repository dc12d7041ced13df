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

/// The state that all connections share.
pub struct Shared {
    /// Requests that no connection has sent yet.
    unsent: u64,
    /// Connections that are not established yet.
    unconnected: usize,
    /// Requests to send in all.
    requests: u64,
    /// Replies received.
    pub replies: u64,
    /// Error replies among them.
    pub errors: u64,
    /// The text of the first error reply.
    pub first_error: String,
    /// Why a connection failed, if one did.
    pub failed: Option<&'static str>,
    /// When the first request was sent.
    pub started: Option<Instant>,
    /// When the last reply arrived.
    pub ended: Option<Instant>,
    /// Time from request to reply.
    pub latencies: Histogram,
    /// Tasks that wait for a change.
    waiting: Vec<Waker>,
}

impl Shared {
    pub fn new(options: &Options) -> Self {
        Self {
            unsent: options.requests,
            unconnected: options.clients,
            requests: options.requests,
            replies: 0,
            errors: 0,
            first_error: String::new(),
            failed: None,
            started: None,
            ended: None,
            latencies: Histogram::new(),
            waiting: Vec::new(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.replies >= self.requests
    }

    /// Wakes the tasks that wait for a change.
    pub fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Waits for the next call of [`Shared::wake`].
    pub async fn changed(shared: &RefCell<Self>) {
        let mut asked = false;
        core::future::poll_fn(|context| {
            if core::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            shared.borrow_mut().waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Counts the complete replies at the start of `bytes`, at most `most`: (replies, their length in bytes).
fn parse_replies(bytes: &[u8], most: usize, mut error: impl FnMut(&[u8])) -> (usize, usize) {
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

/// Opens a connection and sends requests on it until all are sent.
pub async fn run_connection(stack: Stack, options: Rc<Options>, shared: Rc<RefCell<Shared>>, seed: u64) {
    let mut socket = TcpSocket::new(&stack, (64 << 10).min((options.size + 64) * options.pipeline + 4096));
    if let Err(error) = exchange(&mut socket, &options, &shared, seed).await {
        let mut shared = shared.borrow_mut();
        shared.failed = Some(match error {
            NetError::Closed => "the server does not answer, or has closed a connection",
            _ => "the server cannot be reached",
        });
        shared.wake();
    }
}

async fn exchange(
    socket: &mut TcpSocket,
    options: &Options,
    shared: &RefCell<Shared>,
    seed: u64,
) -> Result<(), NetError> {
    socket.connect((options.server, options.port)).await?;
    socket.set_no_delay();
    let mut bytes = vec![0; 64 << 10];
    let mut input: Vec<u8> = Vec::new();
    if let Some(password) = options.password {
        let request = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len());
        socket.write_all(request.as_bytes()).await?;
        receive(socket, &mut bytes, &mut input, shared, 1).await?;
    }
    wait_for_all_connections(shared).await;
    let value = "x".repeat(options.size);
    let mut rng = random::next_u64() ^ seed | 1;
    let mut output = Vec::new();
    loop {
        let count = {
            let mut shared = shared.borrow_mut();
            let count = shared.unsent.min(options.pipeline as u64);
            shared.unsent -= count;
            count
        };
        if count == 0 {
            return Ok(());
        }
        output.clear();
        for _ in 0..count {
            rng ^= rng >> 12;
            rng ^= rng << 25;
            rng ^= rng >> 27;
            let number = rng.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8;
            request(&mut output, number % options.keys, (number >> 24) % 100 < options.reads, &value);
        }
        let sent = clock::now();
        socket.write_all(&output).await?;
        receive(socket, &mut bytes, &mut input, shared, count as usize).await?;
        let now = clock::now();
        let mut shared = shared.borrow_mut();
        shared.latencies.add(now.since(sent).as_nanos() as u64, count);
        shared.replies += count;
        if shared.is_done() {
            shared.ended = Some(now);
            shared.wake();
        }
    }
}

/// Waits until all connections are established, so that none is measured while others connect.
async fn wait_for_all_connections(shared: &RefCell<Shared>) {
    shared.borrow_mut().unconnected -= 1;
    if shared.borrow().unconnected == 0 {
        let mut shared = shared.borrow_mut();
        shared.started = Some(clock::now());
        shared.wake();
    }
    while shared.borrow().unconnected > 0 {
        Shared::changed(shared).await;
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

/// Waits for `count` replies.
async fn receive(
    socket: &mut TcpSocket,
    bytes: &mut [u8],
    input: &mut Vec<u8>,
    shared: &RefCell<Shared>,
    mut count: usize,
) -> Result<(), NetError> {
    while count > 0 {
        let n = socket.read(bytes).await?;
        if n == 0 {
            return Err(NetError::Closed);
        }
        input.extend_from_slice(&bytes[..n]);
        let (got, length) = parse_replies(input, count, |text| {
            let mut shared = shared.borrow_mut();
            if shared.errors == 0 {
                shared.first_error = String::from_utf8_lossy(text).into_owned();
            }
            shared.errors += 1;
        });
        input.drain(..length);
        count -= got;
    }
    Ok(())
}
