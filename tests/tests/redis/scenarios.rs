//! Several clients at once: what each is sent, by a native server and by the guest, has to be the same.
//!
//! `scenarios.txt` has the scenarios, an empty line between two. A line is a client's name and its command; `NAME!` sends
//! the text as it is, `@NAME` stands for a client's number, and `sleep` waits for some seconds.

use crate::host::{Guest, NATIVE, Native, encode};
use e2e::net::Namespace;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SCENARIOS: &str = include_str!("scenarios.txt");
/// Time without bytes after which a server is taken to have said all.
const QUIET: Duration = Duration::from_millis(25);
/// Time that a server has to say what the other has said already.
const LATE: Duration = Duration::from_secs(3);

/// Parts of the scenarios that are played side by side: most of their time is spent listening.
const SHARES: usize = 4;

/// The clients of a scenario at one of the servers.
struct Clients<'a> {
    namespace: &'a Namespace,
    address: SocketAddr,
    open: BTreeMap<String, TcpStream>,
    numbers: BTreeMap<String, String>,
}

impl Clients<'_> {
    fn stream(&mut self, name: &str) -> &mut TcpStream {
        let (namespace, address) = (self.namespace, self.address);
        self.open.entry(name.to_owned()).or_insert_with(|| {
            let stream = namespace.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)));
            let stream = stream.expect("the server accepts");
            stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).expect("a socket");
            stream
        })
    }

    fn send(&mut self, name: &str, bytes: &[u8]) {
        // A server that has closed the connection says so when it is read.
        let _ = self.stream(name).write_all(bytes);
    }

    /// What a client was sent until now; `None` once its connection has ended.
    fn received(&mut self, name: &str) -> Option<String> {
        let stream = self.open.get_mut(name)?;
        let (mut bytes, mut chunk, mut quiet_since) = (Vec::new(), [0; 65536], Instant::now());
        while quiet_since.elapsed() < QUIET {
            match stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(n) => {
                    bytes.extend_from_slice(&chunk[..n]);
                    quiet_since = Instant::now();
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(1)),
                Err(_) => return None,
            }
        }
        Some(bytes.escape_ascii().to_string())
    }

    /// Sends a line's command.
    fn step(&mut self, line: &str) {
        let (name, command) = line.split_once(": ").expect("a client and a command");
        if name == "sleep" {
            sleep(Duration::from_secs_f64(command.parse().expect("seconds")));
        } else if let Some(name) = name.strip_suffix('!') {
            self.send(name, command.replace("\\r", "\r").replace("\\n", "\n").as_bytes());
        } else {
            if !self.numbers.contains_key(name) {
                self.send(name, b"CLIENT ID\r\n");
                let (asked, mut number) = (Instant::now(), String::new());
                while number.is_empty() && asked.elapsed() < LATE {
                    number = self.received(name).expect("a number");
                }
                self.numbers.insert(name.to_owned(), number[1..].trim_end_matches("\\r\\n").to_owned());
            }
            let number = |word: &str| {
                let number = word.strip_prefix('@').and_then(|name| self.numbers.get(name));
                number.cloned().unwrap_or(word.to_owned())
            };
            let words: Vec<String> = command.split(' ').map(number).collect();
            self.send(name, &encode(&words));
        }
    }

    /// Adds to what each client was sent.
    fn hear(&mut self, said: &mut BTreeMap<String, String>) {
        let names: Vec<String> = self.open.keys().cloned().collect();
        for name in names {
            let text = self.received(&name).unwrap_or_else(|| {
                self.open.remove(&name);
                "closed".to_owned()
            });
            if !text.is_empty() {
                said.entry(name).or_default().push_str(&text);
            }
        }
    }
}

/// Plays some of the scenarios to a guest and a native server of their own; how many end differently.
fn differences<'a>(scenarios: impl Iterator<Item = &'a str>) -> usize {
    let guest = Guest::start(&[]);
    let _native = Native::start(&guest.namespace);
    let differences = scenarios.filter(|scenario| !is_answered_alike(&guest, scenario)).count();
    guest.stop();
    differences
}

fn is_answered_alike(guest: &Guest, scenario: &str) -> bool {
    let [mut native, mut other] = [NATIVE, crate::host::GUEST].map(|address| Clients {
        namespace: &guest.namespace,
        address: address.parse().expect("an address"),
        open: BTreeMap::new(),
        numbers: BTreeMap::new(),
    });
    for line in ["S: FLUSHALL"].into_iter().chain(scenario.lines()) {
        native.step(line);
        other.step(line);
        let (sent, mut a, mut b) = (Instant::now(), BTreeMap::new(), BTreeMap::new());
        loop {
            native.hear(&mut a);
            other.hear(&mut b);
            if a == b || sent.elapsed() > LATE {
                break;
            }
        }
        if a != b {
            eprintln!("{line}\n  native {a:?}\n  guest  {b:?}\n  in {scenario:?}");
            return false;
        }
    }
    true
}

#[test]
fn clients_together_are_answered_as_redis_does() {
    let differ: usize = std::thread::scope(|threads| {
        let share = |n: usize| move || differences(SCENARIOS.split("\n\n").skip(n).step_by(SHARES));
        let all: Vec<_> = (0..SHARES).map(|n| threads.spawn(share(n))).collect();
        all.into_iter().map(|share| share.join().expect("it ends")).sum()
    });
    assert_eq!(differ, 0, "replies differ");
}
