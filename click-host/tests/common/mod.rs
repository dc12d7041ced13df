//! Runs the program as it is built.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The program with arguments.
pub fn click(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_click"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a run came to: status, standard output, standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    said(click(arguments).output().unwrap())
}

pub fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Held while a process is started and while a port is looked for: until a new process runs its program it has a copy of
/// each socket, and a listener with such a copy takes connections after it was closed, to reset them.
static STARTING: Mutex<()> = Mutex::new(());

/// A program that runs until it is dropped.
pub struct Running(pub Child);

impl Running {
    pub fn start(mut command: Command) -> Self {
        let _starting = STARTING.lock().unwrap();
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status();
        assert!(done.unwrap().success());
    }

    /// Waits for its end.
    pub fn end(mut self) -> (i32, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.0.wait().unwrap().code().unwrap_or(-1), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Until something holds, for ten seconds at most.
pub fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(10), "it never came to pass");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A control connection.
pub struct Control(BufReader<TcpStream>);

impl Control {
    /// Connects when the program listens.
    pub fn connect(port: u16) -> Self {
        let mut control = None;
        until(|| {
            control = TcpStream::connect(("127.0.0.1", port)).and_then(Self::greeted).ok();
            control.is_some()
        });
        control.unwrap()
    }

    fn greeted(stream: TcpStream) -> std::io::Result<Self> {
        let mut control = Self(BufReader::new(stream));
        let mut line = String::new();
        control.0.read_line(&mut line)?;
        assert_eq!(line, "Click::ControlSocket/1.3\r\n");
        Ok(control)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// Sends a command; the answer's last line.
    pub fn ask(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(command.as_bytes()).unwrap();
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Value of a handler.
    pub fn read(&mut self, handler: &str) -> String {
        let answer = self.ask(&format!("READ {handler}\r\n"));
        assert!(answer.starts_with("200"), "{answer}");
        let length = self.line();
        let length = length.strip_prefix("DATA ").unwrap().parse().unwrap();
        let mut data = vec![0; length];
        self.0.read_exact(&mut data).unwrap();
        String::from_utf8(data).unwrap()
    }
}

/// A TCP port that nobody listens on.
pub fn free_port() -> u16 {
    let _starting = STARTING.lock().unwrap();
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
