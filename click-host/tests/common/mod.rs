//! Runs the program as it is built.
#![allow(dead_code)]

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::process::{Child, Command, Output, Stdio};
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

/// A program that runs until it is dropped.
pub struct Running(pub Child);

impl Running {
    pub fn start(mut command: Command) -> Self {
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
        let mut stream = None;
        until(|| {
            stream = TcpStream::connect(("127.0.0.1", port)).ok();
            stream.is_some()
        });
        let mut control = Self(BufReader::new(stream.unwrap()));
        assert_eq!(control.line(), "Click::ControlSocket/1.3");
        control
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

/// A TCP port that nobody uses. Its socket never listens: a process that is started meanwhile, by any test, has a copy
/// of it until it runs its program, and a listener's copy would take the connections that are meant for the program.
pub fn free_port() -> u16 {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    SocketAddrV4::try_from(getsockname(&socket).unwrap()).unwrap().port()
}

/// A network namespace.
pub struct Space(pub String);

pub fn ip(line: &str) {
    let done = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Space {
    pub fn new(name: &str) -> Self {
        let name = format!("click-{name}-{}", std::process::id());
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
        Self(name)
    }

    pub fn ip(&self, line: &str) {
        ip(&format!("-n {} {line}", self.0));
    }

    /// A program inside.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).args(arguments);
        command
    }

    pub fn click(&self, arguments: &[&str]) -> Command {
        self.run(env!("CARGO_BIN_EXE_click"), arguments)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}
