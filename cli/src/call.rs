//! Commands that talk to a running instance.

use crate::images;
use crate::instances::{self, Refusal};
use crate::node;
use crate::output::{self, Output};
use crate::process::RawTerminal;
use crate::run::TimelineForm;
use ::node::trace;
use clap::Args;
use machine::control::{Instance, RefusalKind, Request, Response};
use machine::status;
use machine::timeline::unix_ns;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vmm::image::{Access, Image};

/// Key that leaves an attached console.
const LEAVE: u8 = 0x1d;

pub(crate) fn failed(refusal: &Refusal) -> u8 {
    let hint = matches!(refusal, Refusal::Absent(_)).then_some("see what is running: microvisor ps");
    output::complain(&refusal.to_string(), hint);
    match refusal {
        Refusal::Absent(_) => status::HOST,
        Refusal::Call(_, machine::control::CallError::Io(e))
            if e.kind() == io::ErrorKind::PermissionDenied =>
        {
            status::PERMISSION
        }
        Refusal::Call(..) => status::MONITOR,
        Refusal::Refused(RefusalKind::Busy | RefusalKind::Ended, _) => status::MONITOR,
        Refusal::Refused(..) => status::CONFIGURATION_REFUSED,
    }
}

/// `microvisor ps`
pub fn ps(json: bool) -> u8 {
    let running = instances::running();
    let on_node = node::instances();
    if json {
        let nodes = on_node.iter().filter_map(|i| serde_json::to_value(i).ok());
        let all: Vec<serde_json::Value> =
            running.iter().filter_map(|r| serde_json::to_value(r).ok()).chain(nodes).collect();
        output::json(&all);
        return 0;
    }
    let mut rows: Vec<Vec<String>> = running
        .iter()
        .map(|r| {
            let state = match instances::call(&r.name, &Request::Inspect) {
                Ok(Response::Instance(i)) if i.ready => "ready",
                Ok(_) => "starting",
                Err(_) => "?",
            };
            let up = Duration::from_nanos(unix_ns().saturating_sub(r.started_unix_ns));
            let config = r.config.clone().unwrap_or_else(|| "-".into());
            vec![
                r.name.clone(),
                state.into(),
                up_words(up),
                r.pid.to_string(),
                r.image.clone(),
                config,
                r.taps.join(","),
            ]
        })
        .collect();
    rows.extend(on_node.iter().map(|i| {
        let devices = i.devices.iter();
        let devices = devices.map(|d| match d.address {
            Some(address) => format!("{}={address}", d.network),
            None => d.network.clone(),
        });
        vec![
            i.name.clone(),
            i.state.name().into(),
            up_words(Duration::from_nanos(unix_ns().saturating_sub(i.created_unix_ns))),
            i.pid.map_or("-".into(), |pid| pid.to_string()),
            i.image.clone(),
            "node".into(),
            devices.collect::<Vec<_>>().join(","),
        ]
    }));
    print!("{}", output::table(&["NAME", "STATE", "UP", "PID", "IMAGE", "CONFIGURATION", "NETWORK"], &rows));
    0
}

fn up_words(up: Duration) -> String {
    match up.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86400),
    }
}

/// `microvisor stop`
pub fn stop(names: &[String], grace: Duration) -> u8 {
    let mut worst = 0;
    for name in names {
        let request = Request::Stop { grace_ms: grace.as_millis().min(u32::MAX.into()) as u32 };
        if !instances::is_running(name) && node::has(name) {
            let status = node::stop(name, grace);
            worst = if status == 0 { worst } else { status };
            continue;
        }
        match instances::call(name, &request) {
            // It may be gone before it could answer.
            Ok(_) | Err(Refusal::Call(_, machine::control::CallError::Ended)) => {}
            Err(e) => {
                worst = failed(&e);
                continue;
            }
        }
        if !instances::wait_gone(name, grace + Duration::from_secs(5)) {
            output::complain(&format!("{name} is still there"), Some("kill its process; see microvisor ps"));
            worst = status::MONITOR;
        }
    }
    worst
}

/// `microvisor console`
pub fn console(name: &str) -> u8 {
    let mut client = match instances::connect(name) {
        Ok(client) => client,
        Err(e) => return failed(&e),
    };
    match client.call(&Request::Console, Duration::from_secs(10)) {
        Ok(Response::Done { .. }) => {}
        Ok(_) => return status::MONITOR,
        Err(e) => return failed(&Refusal::Call(name.into(), e)),
    }
    let (early, stream) = client.into_console();
    let terminal = RawTerminal::enter();
    if terminal.is_some() {
        eprintln!("console of {name}; Ctrl-] leaves it");
    }
    let result = attached(&early, stream);
    drop(terminal);
    match result {
        Ok(()) => 0,
        Err(e) => failed(&Refusal::Call(name.into(), e.into())),
    }
}

fn attached(early: &[u8], stream: UnixStream) -> io::Result<()> {
    stream.set_read_timeout(None)?;
    let mut from = stream.try_clone()?;
    let mut to = stream;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = io::stdin().read(&mut buffer) {
            let typed = &buffer[..n];
            let end = typed.iter().position(|&b| b == LEAVE);
            if to.write_all(&typed[..end.unwrap_or(n)]).is_err() || end.is_some() {
                let _ = to.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    });
    let mut out = io::stdout();
    out.write_all(early)?;
    out.flush()?;
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                out.write_all(&buffer[..n])?;
                out.flush()?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(()),
        }
    }
}

/// In which form a timeline is printed.
#[derive(Args, Clone, Copy, Debug)]
pub struct Forms {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print what chrome://tracing and Perfetto read
    #[arg(long, conflicts_with = "json")]
    chrome_trace: bool,
    /// Print what OpenTelemetry collectors read (OTLP, JSON)
    #[arg(long, conflicts_with_all = ["json", "chrome_trace"])]
    otlp: bool,
}

/// `microvisor timeline`
pub fn timeline(name: &str, forms: Forms) -> u8 {
    let timeline = if !instances::is_running(name) && node::has(name) {
        match node::timeline(name) {
            Ok(timeline) => timeline,
            Err(e) => return node::refuse(&e),
        }
    } else {
        match instances::call(name, &Request::Timeline) {
            Ok(Response::Timeline(timeline)) if forms.json => {
                output::json(&timeline);
                return 0;
            }
            Ok(Response::Timeline(timeline)) => output::of_monitor(name, &timeline),
            Ok(_) => return status::MONITOR,
            Err(e) => return failed(&e),
        }
    };
    if forms.json {
        output::json(&timeline);
    } else if forms.chrome_trace {
        output::json(&trace::chrome(&timeline));
    } else if forms.otlp {
        output::json(&trace::otlp(&timeline));
    } else {
        print!("{}", output::bars(&trace::flat(&timeline)));
    }
    0
}

/// `microvisor inspect`: an image, or a running instance.
pub fn inspect(what: &str, json: bool) -> u8 {
    let is_file = Path::new(what).is_file();
    if !is_file && let Ok(answer) = instances::call(what, &Request::Inspect) {
        return match answer {
            Response::Instance(instance) => {
                if json {
                    output::json(&instance)
                } else {
                    print!("{}", instance_words(what, &instance))
                }
                0
            }
            _ => status::MONITOR,
        };
    }
    match images::find(what, None) {
        Ok(wanted) => {
            if json {
                output::json(&ImageFacts::of(&wanted.image))
            } else {
                print!("{}", image_words(&wanted.image))
            }
            0
        }
        Err(e) => Output { json: false, timeline: None::<TimelineForm> }.refused(
            &e.to_string(),
            e.hint(),
            e.status(),
        ),
    }
}

fn instance_words(name: &str, i: &Instance) -> String {
    let mut text = format!(
        "instance  {name}\nimage     {}\nstate     {}\nup        {}\nmemory    {} KiB\nmonitor   process {}\n",
        i.image,
        if i.ready { "ready" } else { "starting" },
        up_words(Duration::from_nanos(i.up_ns)),
        i.memory >> 10,
        i.pid,
    );
    for (n, net) in i.net.iter().enumerate() {
        if let Some(back_end) = net.vhost_user {
            let state = if back_end.connected { "connected" } else { "without back end" };
            text.push_str(&format!("net {n}     vhost-user, {state}, {} so far\n", back_end.back_ends));
            continue;
        }
        text.push_str(&format!(
            "net {n}     {} packets to the guest, {} from it, {} refused by the host\n",
            net.received, net.transmitted, net.refused
        ));
    }
    text
}

/// An image in JSON.
#[derive(serde::Serialize)]
struct ImageFacts {
    name: String,
    path: PathBuf,
    abi: String,
    cpu_level: u32,
    memory_minimum: u64,
    memory_default: u64,
    stack: u64,
    net_minimum: u16,
    net_maximum: u16,
    net_features: Vec<&'static str>,
    config: &'static str,
    config_format: String,
    text: u64,
    constants: u64,
    data: u64,
    file: u64,
}

impl ImageFacts {
    fn of(image: &Image) -> Self {
        let sum = |access| image.segments.iter().filter(|s| s.access == access).map(|s| s.length).sum();
        let note = &image.note;
        Self {
            name: image.name(),
            path: image.path.clone(),
            abi: format!("{}.{}", note.version_major, note.version_minor),
            cpu_level: note.cpu_level,
            memory_minimum: note.memory_minimum,
            memory_default: note.memory_default,
            stack: note.stack_size,
            net_minimum: note.net_minimum,
            net_maximum: note.net_maximum,
            net_features: machine::net::feature_names(note.net_features),
            config: ["none", "optional", "required"].get(note.config as usize).copied().unwrap_or("?"),
            config_format: image.config_format(),
            text: sum(Access::Execute),
            constants: sum(Access::Read),
            data: sum(Access::Write),
            file: image.file.metadata().map_or(0, |m| m.len()),
        }
    }
}

fn image_words(image: &Image) -> String {
    let f = ImageFacts::of(image);
    let format = if f.config_format.is_empty() { String::new() } else { format!(" ({})", f.config_format) };
    let features = if f.net_features.is_empty() { "none".into() } else { f.net_features.join(", ") };
    format!(
        "image          {} ({})\n\
         guest ABI      {}\n\
         processor      x86-64 level {} or better\n\
         memory         {} KiB by default, {} KiB at least\n\
         stack          {} KiB\n\
         net devices    {} to {}; features it can use: {features}\n\
         configuration  {}{format}\n\
         size           {} KiB file: {} KiB text, {} KiB constants, {} KiB data\n",
        f.name,
        f.path.display(),
        f.abi,
        f.cpu_level,
        f.memory_default >> 10,
        f.memory_minimum >> 10,
        f.stack >> 10,
        f.net_minimum,
        f.net_maximum,
        f.config,
        f.file.div_ceil(1024),
        f.text.div_ceil(1024),
        f.constants.div_ceil(1024),
        f.data.div_ceil(1024),
    )
}
