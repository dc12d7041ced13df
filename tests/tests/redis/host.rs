//! A Redis guest on a TAP, a native server to compare it with, and a client that shows every reply as it is.

use e2e::net::Namespace;
use e2e::{RunFolder, eventually, finish_within, start, unique};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the guest answers.
pub const GUEST: &str = "10.9.1.1:6379";
/// Where a native server answers.
pub const NATIVE: &str = "127.0.0.1:6390";

/// A guest that serves Redis, and a namespace to reach it from.
pub struct Guest {
    pub namespace: Namespace,
    folder: RunFolder,
}

impl Guest {
    pub fn start(options: &[&str]) -> Self {
        let (namespace, folder, tap) = (Namespace::new(), RunFolder::new(), unique("t"));
        let option = format!("{tap},netns={},address=10.9.1.2/16,guest=10.9.1.1/16", namespace.name);
        let image = "target/test-images/redis";
        let base = ["run", image, "--tap", &option, "--detach", "--name", "redis"];
        let outcome = folder.run(&[&base[..], options].concat());
        assert_eq!(outcome.status, 0, "{outcome:?}");
        Self { namespace, folder }
    }

    pub fn connect(&self) -> Client {
        Client::open(&self.namespace, GUEST)
    }

    /// Runs a program in the namespace; its output.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        let mut command = self.namespace.command(words);
        let outcome = finish_within(start(command.stdin(Stdio::null())), Duration::from_secs(60));
        assert_eq!(outcome.status, 0, "{}: {outcome:?}", words[0]);
        outcome.out
    }

    /// It has ended, with status 0, though nobody stopped it.
    #[track_caller]
    pub fn ends_by_itself(self) {
        self.folder.is_empty_soon();
    }

    /// The process that runs this guest: the one whose arguments name its folder.
    pub fn monitor(&self) -> u32 {
        let folder = self.folder.0.to_string_lossy().into_owned();
        let runs_it = |pid: &u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            words.contains("microvisor-vmm") && words.contains(&folder)
        };
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.find(runs_it).expect("the monitor runs")
    }

    /// The command under test, beside this guest.
    pub fn microvisor(&self, words: &[&str]) -> Command {
        self.folder.microvisor(words)
    }

    /// It still serves, and ends when asked to.
    #[track_caller]
    pub fn stop(self) {
        assert_eq!(self.connect().ask("PING"), "+PONG");
        self.folder.run(&["stop", "redis"]).ends(0, "");
        self.folder.is_empty_soon();
    }
}

/// `redis-server` of the distribution.
pub struct Native(Child);

impl Native {
    pub fn start(namespace: &Namespace) -> Self {
        let port = NATIVE.rsplit(':').next().expect("a port");
        let words = ["redis-server", "--port", port, "--save", "", "--enable-debug-command", "yes"];
        let mut command: Command = namespace.command(&words);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("redis-server starts");
        let address: SocketAddr = NATIVE.parse().expect("an address");
        eventually("redis-server answers", || namespace.inside(|| TcpStream::connect(address).is_ok()));
        Self(child)
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// Name of the network namespace that it is in.
    namespace: String,
}

/// A command's bytes.
pub fn encode<T: AsRef<[u8]>>(words: &[T]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.as_ref().len()).as_bytes());
        bytes.extend_from_slice(word.as_ref());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Client {
    #[track_caller]
    pub fn open(namespace: &Namespace, address: &str) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        let stream = namespace.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)));
        let stream = stream.unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        Self { stream: BufReader::new(stream), namespace: namespace.name.clone() }
    }

    /// What the kernel knows of the connections and devices here: for whoever waited in vain.
    fn state(&self) -> String {
        let print = |words: &[&str]| {
            let outcome = Command::new("ip").args(["netns", "exec", &self.namespace]).args(words).output();
            outcome.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stdout).into_owned())
        };
        print(&["ss", "-tinmo"]) + &print(&["ip", "-s", "link"]) + &print(&["nstat", "-a"])
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(e) = self.stream.get_mut().write_all(bytes) {
            panic!("the server does not take it: {e}\n{}", self.state());
        }
    }

    /// Sends the words of a line as a command, and gives the reply.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.send(&encode(&line.split_whitespace().collect::<Vec<_>>()));
        self.reply()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let n = self.stream.read_until(b'\n', &mut line).ok()?;
        (n > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.stream.read(&mut [0; 1]).map_or(true, |n| n == 0)
    }

    /// A reply as text: errors, numbers and simple strings as on the wire, arrays in brackets.
    #[track_caller]
    pub fn reply(&mut self) -> String {
        let line = self.line().unwrap_or_else(|| panic!("no reply\n{}", self.state()));
        let count = || line[1..].parse::<i64>().expect("a number");
        let mut parts = |n: i64| (0..n).map(|_| self.reply()).collect::<Vec<_>>().join(" ");
        match line.as_bytes().first() {
            Some(b'*' | b'~' | b'>') if count() < 0 => "nil".to_owned(),
            Some(b'*') => format!("[{}]", parts(count())),
            Some(b'~') => format!("~[{}]", parts(count())),
            Some(b'>') => format!(">[{}]", parts(count())),
            Some(b'%') => format!("{{{}}}", parts(2 * count())),
            Some(b'$' | b'=') if count() < 0 => "nil".to_owned(),
            Some(b'$' | b'=') => {
                let mut bytes = vec![0; count() as usize + 2];
                self.stream.read_exact(&mut bytes).expect("a bulk string");
                bytes.truncate(bytes.len() - 2);
                format!("\"{}\"", bytes.escape_ascii())
            }
            _ => line,
        }
    }
}
