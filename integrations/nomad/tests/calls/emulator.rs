//! A client of Nomad's, as far as a plugin sees one: it starts the driver, reads its line, asks it over gRPC. Below it is a real
//! node with real guests.

use e2e::node::Node;
use hyper_util::rt::TokioIo;
use nomad_driver_microvisor::plugin::COOKIE;
use nomad_driver_microvisor::proto::base::SetConfigRequest;
use nomad_driver_microvisor::proto::base::base_plugin_client::BasePluginClient;
use nomad_driver_microvisor::proto::drivers::driver_client::DriverClient;
use nomad_driver_microvisor::proto::drivers::*;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// Answers pings.
pub const PONG: &str = include_str!("../../../../bench/src/figures/pong.click");

/// The driver's program and a connection to it.
pub struct Plugin {
    process: Child,
    /// Where it listens.
    pub socket: PathBuf,
    /// The services of drivers.
    pub driver: DriverClient<Channel>,
    /// The services of all plugins.
    pub base: BasePluginClient<Channel>,
    /// The connection.
    pub channel: Channel,
    /// What it has written to its standard error.
    pub log: Arc<Mutex<String>>,
}

/// A connection to a plugin.
pub async fn connect(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://plugin")
        .connect_with_connector(connector)
        .await
        .expect("the plugin listens")
}

/// The program, started as Nomad starts it. Its line on standard output.
pub fn launch(environment: &[(&str, &str)]) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nomad-driver-microvisor"));
    command.env(COOKIE.0, COOKIE.1).env("PLUGIN_PROTOCOL_VERSIONS", "2").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("it starts");
    let mut line = String::new();
    let output = process.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("it says where it listens");
    (process, line)
}

impl Plugin {
    /// Starts one with settings beside the node's socket.
    pub async fn with(node: &Node, settings: Value) -> Self {
        let (mut process, line) = launch(&[]);
        let words: Vec<&str> = line.trim_end().split('|').collect();
        assert_eq!((&words[..3], words[4]), (&["1", "2", "unix"][..], "grpc"), "{line}");
        let socket = PathBuf::from(words[3]);
        let log = Arc::new(Mutex::new(String::new()));
        let mut errors = process.stderr.take().expect("a pipe");
        let written = log.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = errors.read(&mut buffer) {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        });
        let channel = connect(&socket).await;
        let mut new = Self {
            process,
            socket,
            driver: DriverClient::new(channel.clone()),
            base: BasePluginClient::new(channel.clone()),
            channel,
            log,
        };
        new.configure(node, settings).await;
        new
    }

    async fn configure(&mut self, node: &Node, settings: Value) {
        let mut config =
            json!({ "node": node.folder.join("run/api.sock"), "network": "blue", "fingerprint_s": 0.1 });
        for (key, value) in settings.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        let msgpack_config = rmp_serde::to_vec_named(&config).unwrap();
        let asked = SetConfigRequest { msgpack_config, ..SetConfigRequest::default() };
        self.base.set_config(asked).await.expect("it takes its configuration");
    }

    /// Starts one.
    pub async fn new(node: &Node) -> Self {
        Self::with(node, json!({})).await
    }

    /// Drops the connection.
    pub fn disconnect(&mut self) {
        let nowhere = Endpoint::from_static("http://nowhere").connect_with_connector_lazy(tower::service_fn(
            |_| async { Err::<TokioIo<UnixStream>, _>(std::io::Error::other("nowhere")) },
        ));
        self.driver = DriverClient::new(nowhere.clone());
        self.base = BasePluginClient::new(nowhere.clone());
        self.channel = nowhere;
    }

    /// Kills it, as nothing could be prepared for.
    pub fn kill(mut self) {
        self.process.kill().expect("it ran");
        self.process.wait().expect("it ran");
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Starts a task; its handle.
    pub async fn start(&mut self, task: &TaskConfig) -> Result<TaskHandle, Status> {
        let asked = StartTaskRequest { task: Some(task.clone()) };
        Ok(self.driver.start_task(asked).await?.into_inner().handle.expect("a handle"))
    }

    /// Takes a task over.
    pub async fn recover(&mut self, handle: &TaskHandle) -> Result<(), Status> {
        let asked = RecoverTaskRequest { task_id: String::new(), handle: Some(handle.clone()) };
        self.driver.recover_task(asked).await.map(drop)
    }

    /// Waits for a task's end, in the background.
    pub fn wait(&self, task: &TaskConfig) -> tokio::task::JoinHandle<Result<WaitTaskResponse, Status>> {
        let (mut driver, task_id) = (self.driver.clone(), task.id.clone());
        tokio::spawn(async move {
            let asked = driver.wait_task(WaitTaskRequest { task_id });
            let answer = tokio::time::timeout(Duration::from_secs(20), asked).await;
            answer
                .map_err(|_| Status::deadline_exceeded("the task does not end"))?
                .map(tonic::Response::into_inner)
        })
    }

    /// Stops a task.
    pub async fn stop(&mut self, task: &TaskConfig) -> Result<(), Status> {
        let timeout = Some(prost_types::Duration { seconds: 2, nanos: 0 });
        let asked = StopTaskRequest { task_id: task.id.clone(), timeout, signal: "SIGTERM".into() };
        self.driver.stop_task(asked).await.map(drop)
    }

    /// Destroys a task.
    pub async fn destroy(&mut self, task: &TaskConfig, force: bool) -> Result<(), Status> {
        self.driver.destroy_task(DestroyTaskRequest { task_id: task.id.clone(), force }).await.map(drop)
    }

    /// Sends a signal.
    pub async fn signal(&mut self, task: &TaskConfig, signal: &str) -> Result<(), Status> {
        let asked = SignalTaskRequest { task_id: task.id.clone(), signal: signal.into() };
        self.driver.signal_task(asked).await.map(drop)
    }

    /// Runs a command; output and status.
    pub async fn exec(&mut self, task: &TaskConfig, command: &[&str]) -> (String, i32) {
        let command = command.iter().map(ToString::to_string).collect();
        let asked = ExecTaskRequest { task_id: task.id.clone(), command, timeout: None };
        let done = self.driver.exec_task(asked).await.expect("it runs").into_inner();
        let text = [done.stdout, done.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), done.result.map_or(-1, |r| r.exit_code))
    }

    /// What a task's state is.
    pub async fn inspect(&mut self, task: &TaskConfig) -> Result<InspectTaskResponse, Status> {
        let asked = InspectTaskRequest { task_id: task.id.clone() };
        self.driver.inspect_task(asked).await.map(tonic::Response::into_inner)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(folder) = self.socket.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
        if std::thread::panicking() {
            eprintln!("the driver said: {}", self.log.lock().unwrap());
        }
    }
}

/// An allocation's folder, with a logger on its FIFOs.
pub struct Allocation {
    folder: tempfile::TempDir,
    id: String,
}

impl Default for Allocation {
    fn default() -> Self {
        Self::new()
    }
}

impl Allocation {
    /// A new one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["task/local", "alloc/logs"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
        }
        let new = Self { folder, id: uuid::Uuid::now_v7().to_string() };
        for path in [new.fifo("stdout"), new.fifo("stderr")] {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o600.into(), 0).expect("a FIFO");
        }
        new
    }

    /// Where a FIFO is.
    pub fn fifo(&self, kind: &str) -> PathBuf {
        self.folder.path().join(format!("alloc/logs/.task.{kind}.fifo"))
    }

    /// A file of the task.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join("task").join(name), text).expect("a file");
    }

    /// A start of its task.
    pub fn task(&self, config: Value) -> TaskConfig {
        let invocation = &uuid::Uuid::now_v7().simple().to_string()[24..];
        let memory = AllocatedMemoryResources { memory_mb: 16, memory_max_mb: 0 };
        TaskConfig {
            id: format!("{}/task/{invocation}", self.id),
            name: "task".into(),
            alloc_id: self.id.clone(),
            job_id: "job".into(),
            job_name: "job".into(),
            task_group_name: "group".into(),
            namespace: "default".into(),
            alloc_dir: self.folder.path().display().to_string(),
            stdout_path: self.fifo("stdout").display().to_string(),
            stderr_path: self.fifo("stderr").display().to_string(),
            msgpack_driver_config: rmp_serde::to_vec_named(&config).unwrap(),
            resources: Some(Resources {
                allocated_resources: Some(AllocatedTaskResources {
                    memory: Some(memory),
                    ..Default::default()
                }),
                linux_resources: Some(LinuxResources { cpu_shares: 20, ..Default::default() }),
                ports: vec![],
            }),
            ..TaskConfig::default()
        }
    }

    /// A start of a task that answers pings.
    pub fn pong(&self) -> TaskConfig {
        self.task(json!({ "config": PONG }))
    }

    /// Reads its log as Nomad's logger does; what was read so far.
    pub fn log(&self) -> Arc<Mutex<String>> {
        let text = Arc::new(Mutex::new(String::new()));
        let (written, path) = (text.clone(), self.fifo("stdout"));
        std::thread::spawn(move || {
            // A FIFO that is gone has no more to say.
            while let Ok(mut file) = std::fs::File::open(&path) {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = file.read(&mut buffer) {
                    written.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
                }
            }
        });
        text
    }
}

/// A node with a network.
pub fn node() -> Node {
    let node = Node::new();
    node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.79.0.0/24" })).is(201);
    node
}

/// Instances of a node.
pub fn instances(node: &Node) -> Vec<Value> {
    node.get("/v1/instances?limit=1000").is(200)["instances"].as_array().cloned().unwrap_or_default()
}

/// Waits until it is true, without keeping others from running.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    tokio::task::block_in_place(|| {
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not in time");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

/// The code that something was refused with.
pub fn code<T: std::fmt::Debug>(outcome: Result<T, Status>) -> Code {
    outcome.expect_err("it is refused").code()
}

/// What comes next of a stream, not waited for for ever.
pub async fn next<T>(stream: &mut Streaming<T>) -> T {
    let next = tokio::time::timeout(Duration::from_secs(20), stream.message()).await;
    next.expect("something comes").expect("it is no error").expect("it is not the end")
}

/// Messages as they are.
#[derive(Clone, Default)]
pub struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = bytes::Buf::remaining(from);
        let mut item = vec![0; length];
        bytes::Buf::copy_to_slice(from, &mut item);
        Ok(Some(item))
    }
}
