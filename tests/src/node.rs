//! Nodes for tests, each with folders of its own; nothing of them is left after this.

use crate::net::Namespace;
use crate::{Outcome, eventually, program, root, run, signal, unique};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The specification of an instance of an example on the network `blue`, with more fields.
pub fn spec(example: &str, more: &Value) -> Value {
    let path = root().join("examples").join(example);
    let config = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut spec = json!({ "config": config, "devices": [{ "network": "blue" }] });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

/// A running node.
pub struct Node {
    /// Its folder: `run`, `state`, `log`.
    pub folder: PathBuf,
    options: Vec<String>,
    program: PathBuf,
    /// Environment of the daemon from its next start on.
    pub environment: Vec<(&'static str, String)>,
    /// Where its daemon runs; here without one.
    pub namespace: Option<Namespace>,
    daemon: Option<Child>,
}

/// An answer: HTTP status and body.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, if it is JSON.
    pub json: Value,
    /// The body.
    pub text: String,
}

impl Answer {
    /// Checks the status; the body.
    #[track_caller]
    pub fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Node {
    /// Starts one.
    #[track_caller]
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// Starts one with more options.
    #[track_caller]
    pub fn with(options: &[&str]) -> Self {
        let mut new = Self::idle(program("microvisor-node"), options);
        new.start();
        new
    }

    /// Starts one with more options in a namespace, from which nothing else can be reached.
    #[track_caller]
    pub fn within(namespace: Namespace, options: &[&str]) -> Self {
        let mut new = Self::idle(program("microvisor-node"), options);
        new.namespace = Some(namespace);
        new.start();
        new
    }

    /// Starts one whose daemon can die at a failpoint.
    #[track_caller]
    pub fn with_failpoints(options: &[&str]) -> Self {
        let mut new = Self::idle(program("../checked/release/microvisor-node"), options);
        // The other programs are not beside it.
        let path = std::env::var("PATH").unwrap_or_default();
        new.environment.push(("PATH", format!("{}:{path}", root().join("target/release").display())));
        new.start();
        new
    }

    /// One whose daemon is not started yet.
    pub fn idle(program: PathBuf, options: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(unique("nd"));
        std::fs::create_dir(&folder).expect("new");
        let options = options.iter().map(ToString::to_string).collect();
        Self { folder, options, program, environment: Vec::new(), namespace: None, daemon: None }
    }

    /// Kills the daemon, and starts it again so that it dies at a failpoint.
    #[track_caller]
    pub fn arm(&mut self, failpoint: &str) {
        self.kill();
        self.environment.push(("FAILPOINTS", format!("{failpoint}=return")));
        self.start();
        self.environment.pop();
    }

    /// Waits until the daemon has died by itself.
    #[track_caller]
    pub fn dies(&mut self) {
        let daemon = self.daemon.as_mut().expect("it was started");
        eventually("the daemon has died", || daemon.try_wait().is_ok_and(|status| status.is_some()));
        self.daemon = None;
    }

    /// Processes of its monitors, prepared guests' among them.
    pub fn monitors(&self) -> Vec<u32> {
        let own =
            format!("/sys/fs/cgroup/*/{0}/*/cgroup.procs /sys/fs/cgroup/{0}/*/cgroup.procs", self.group());
        let listed = run(Command::new("sh").args(["-c", &format!("cat {own} 2>/dev/null")])).out;
        let mut pids: Vec<u32> = listed.lines().filter_map(|line| line.parse().ok()).collect();
        // Each is the first process of a namespace, and may have children.
        pids.retain(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
        });
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Starts the daemon, again perhaps.
    #[track_caller]
    pub fn start(&mut self) {
        let log = std::fs::File::options().append(true).create(true).open(self.folder.join("log"));
        let mut command = Command::new(&self.program);
        command.arg("--run").arg(self.folder.join("run")).arg("--state").arg(self.folder.join("state"));
        // Prepared guests are processes and memory of the node's, too: for tests that ask for them.
        if !self.options.iter().any(|option| option == "--prepared") {
            command.args(["--prepared", "0"]);
        }
        command.args(&self.options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a file"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("MICROVISOR_IMAGES", root().join("target/images"));
        let spawned = match &self.namespace {
            Some(namespace) => namespace.inside(|| command.spawn()),
            None => command.spawn(),
        };
        self.daemon = Some(spawned.expect("it starts"));
        eventually("the node answers", || self.get("/v1/status").status == 200);
    }

    /// Kills the daemon, and nothing else.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// Ends the daemon as its user does.
    pub fn end(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            signal(daemon.id(), "TERM");
            let _ = daemon.wait();
        }
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Child::id)
    }

    /// The name of its control groups.
    pub fn group(&self) -> String {
        format!("microvisor{}", self.folder.join("run").to_string_lossy().replace('/', "-"))
    }

    /// How many control groups a monitor has: one in each hierarchy.
    pub fn groups_of_one(&self) -> usize {
        let own = ["/sys/fs/cgroup", "-maxdepth", "2", "-type", "d", "-name", &self.group()];
        run(Command::new("find").args(own)).out.lines().count()
    }

    /// How many control groups its monitors have.
    pub fn groups(&self) -> usize {
        let own = format!("*/{}/*", self.group());
        run(Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-path", &own])).out.lines().count()
    }

    /// Asks.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>, headers: &[&str]) -> Answer {
        let mut command = Command::new("curl");
        command.args(["-s", "-m", "30", "-w", "\n%{http_code}", "-X", method, "--unix-socket"]);
        command.arg(self.folder.join("run/api.sock")).arg(format!("http://node{path}"));
        if let Some(body) = body {
            command.args(["-H", "content-type: application/json", "--data-binary", &body.to_string()]);
        }
        for header in headers {
            command.args(["-H", header]);
        }
        let Outcome { out, .. } = run(&mut command);
        let (text, status) = out.rsplit_once('\n').unwrap_or(("", &out));
        let json = serde_json::from_str(text).unwrap_or_default();
        Answer { status: status.parse().unwrap_or(0), json, text: text.to_owned() }
    }

    /// Asks for something.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None, &[])
    }

    /// Sends something.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, Some(body), &[])
    }

    /// The port that it says it listens on.
    #[track_caller]
    pub fn port(&self) -> String {
        let mut port = String::new();
        eventually("it says its port", || {
            let log: String = self.log().chars().filter(|c| !c.is_control()).collect();
            let Some((_, rest)) = log.split_once("127.0.0.1:") else { return false };
            port = rest.chars().take_while(char::is_ascii_digit).collect();
            !port.is_empty()
        });
        port
    }

    /// What the daemon has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.daemon.is_none() {
            self.start();
        }
        let all = self.get("/v1/instances?limit=1000").json;
        for instance in all["instances"].as_array().into_iter().flatten() {
            let name = instance["name"].as_str().unwrap_or_default();
            self.ask("DELETE", &format!("/v1/instances/{name}?force=true"), None, &[]);
        }
        let switch = self.get("/v1/status").json["switch"].to_string();
        if std::thread::panicking() {
            eprintln!("the node said: {}", self.log());
        }
        self.end();
        run(Command::new("kill").args(["-9", &switch]));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
