//! Runs the router until it stops, replaces it when asked to, and ends with a status.

use crate::clock::Clock;
use crate::configuration::{self, Configuration};
use crate::control::Server;
use crate::files::reason;
use crate::host::ProcessHost;
use crate::options::Options;
use crate::threads::{RouterThreads, run_on};
use crate::watch::{Until, wait};
use crate::{handlers, output, report};
use click::element::Outside;
use click::{Progress, Router, Source};
use rustix::thread::CpuSet;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Most threads that a router runs on.
const MOST_THREADS: usize = 64;

/// Runs what the command line asks for.
pub fn run(options: Options) -> ExitCode {
    let status = attempt(&options);
    output::flush();
    match status {
        Ok(status) => ExitCode::from(output::lost_output().unwrap_or(status)),
        Err(message) => {
            output::say(message.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn attempt(options: &Options) -> Result<u8, String> {
    let Configuration { name, text } = configuration::read(options.origin.as_ref(), options.path.as_deref())?;
    if let Some(processor) = options.processor {
        if processor >= CpuSet::MAX_CPU {
            return Err(format!("--affinity={processor}: there is no such processor"));
        }
        run_on(processor).map_err(|e| format!("--affinity={processor}: {}", reason(&e)))?;
    }
    let mut host = ProcessHost::new(options.variables.clone(), options.reconfigure)
        .map_err(|e| format!("signals: {}", reason(&e)))?;
    host.silent = options.silent;
    if let Some(begin) = options.simulated {
        host.clock = Clock::simulated(begin);
    }
    let mut servers = servers(options)?;
    host.threads = threads(options);
    let source = Source { name: &name, text: &text };
    let mut router = host.router(&source).map_err(|d| report::errors(&d))?;
    let mut right = true;
    if let Some(file) = &options.output {
        right &= write_flat(&mut router, &mut host, file);
    }
    if options.verbose {
        output::say(&format!("{name}: {} elements", router.elements().count()));
    }
    let watch = StopWatch::start();
    let empty = router.elements().next().is_none();
    if empty && !options.quit && !options.reconfigure {
        if !options.silent {
            output::say(&format!("warning: {name}: configuration has no elements, exiting"));
        }
    } else if !options.quit {
        router = drive(router, &mut host, &mut servers, options)?;
    }
    if options.time {
        host.write_out(&watch.report());
    }
    right &= handlers::handlers(&mut router, &mut host, &options.handlers);
    let status = match &options.exit_handler {
        Some(handler) => exit_status(&mut router, &mut host, handler),
        None => u8::from(!right),
    };
    router.finish(&mut host);
    Ok(status)
}

/// How many threads the router runs on.
fn threads(options: &Options) -> usize {
    let wanted = usize::try_from(options.threads).unwrap_or(usize::MAX).max(1);
    let (most, why) = match options.simulated {
        Some(_) => (1, "with simulated time"),
        None => (MOST_THREADS, "at the most"),
    };
    let threads = wanted.min(most);
    if threads < wanted && !options.silent {
        let s = if threads == 1 { "" } else { "s" };
        output::say(&format!(
            "warning: '-j {}': the router runs on {threads} thread{s} {why}",
            options.threads
        ));
    }
    threads
}

fn servers(options: &Options) -> Result<Vec<Server>, String> {
    let mut servers = Vec::new();
    for &(first, or_next) in &options.ports {
        let address = ([127, 0, 0, 1], first).into();
        servers.push(if or_next { Server::tcp_or_next(address)? } else { Server::tcp(address)? });
    }
    for path in &options.unix_sockets {
        servers.push(Server::unix(path)?);
    }
    for &number in &options.sockets {
        servers.push(Server::inherited(number)?);
    }
    Ok(servers)
}

/// Runs a router, and those that take its place, until it stops; the one that ran last.
fn drive(
    mut router: Router,
    host: &mut ProcessHost,
    servers: &mut [Server],
    options: &Options,
) -> Result<Router, String> {
    loop {
        let mut team = RouterThreads::start(router, host, options.processor)
            .map_err(|e| format!("threads: {}", reason(&e)))?;
        let next = run_first(&mut team, host, servers);
        router = team.end();
        let Some(mut next) = next? else { break };
        std::mem::swap(&mut router, &mut next);
        router.take_over(next);
        if options.verbose {
            output::say(&format!("another configuration: {} elements", router.elements().count()));
        }
    }
    // Whoever stopped the router through a control connection gets the answer.
    servers.iter_mut().for_each(Server::finish);
    Ok(router)
}

/// Runs what this thread has of a router, until that stops or another is to take its place.
fn run_first(
    team: &mut RouterThreads,
    host: &mut ProcessHost,
    servers: &mut [Server],
) -> Result<Option<Router>, String> {
    let waited = |until| wait(until).map_err(|e| format!("poll: {}", reason(&e)));
    loop {
        waited(Until::Now)?;
        if host.is_to_end() || output::output_is_lost() {
            return Ok(None);
        }
        for server in &mut *servers {
            server.serve(&mut (&mut team.router, &mut *host));
        }
        let progress = team.run(host);
        if let Some(next) = host.take_next() {
            return Ok(Some(next));
        }
        match progress {
            Progress::Busy => {}
            Progress::Stopped => return Ok(None),
            Progress::Idle { until: None } => waited(Until::Forever)?,
            Progress::Idle { until: Some(time) } => {
                let left = host.clock.until(time);
                if !left.is_zero() {
                    waited(Until::Passed(left))?;
                }
            }
        }
    }
}

fn write_flat(router: &mut Router, host: &mut ProcessHost, file: &str) -> bool {
    let text = router.read(host, "flatconfig").unwrap_or_default();
    if file == "-" {
        host.write_out(&text);
        return true;
    }
    match fs::write(file, text) {
        Ok(()) => true,
        Err(e) => {
            output::say(&format!("{file}: {}", reason(&e)));
            false
        }
    }
}

/// The exit status that a handler's value stands for: a number itself, true 0, false 1; 255 if it is neither.
fn exit_status(router: &mut Router, host: &mut ProcessHost, handler: &str) -> u8 {
    let value = handlers::readable(router, host, handler)
        .and_then(|()| router.read(host, handler).map_err(|e| e.to_string()));
    let value = match value {
        Ok(value) => value,
        Err(message) => {
            output::say(&message);
            return 255;
        }
    };
    let value = value.trim();
    match value.parse::<i64>() {
        // As the system does with a status that is larger.
        Ok(status) => status.to_le_bytes()[0],
        Err(_) => match value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "t" | "y" => 0,
            "false" | "no" | "f" | "n" => 1,
            _ => {
                output::say("exit handler value should be integer");
                255
            }
        },
    }
}

/// How long the router ran, and how much processor time it took.
struct StopWatch {
    began: Instant,
    user: Duration,
    system: Duration,
}

/// Processor time of this process, in user mode and in all.
fn processor_time() -> (Duration, Duration) {
    let all = clock_gettime(ClockId::ProcessCPUTime);
    let all = Duration::new(all.tv_sec.unsigned_abs(), all.tv_nsec.unsigned_abs() as u32);
    // Fields 14 and 15 count ticks; the second field, a name in parentheses, may hold blanks.
    let line = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = line.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
    let system = Duration::from_millis(
        1000 * ticks.get(1).copied().unwrap_or(0) / rustix::param::clock_ticks_per_second(),
    );
    (all.saturating_sub(system), system)
}

impl StopWatch {
    fn start() -> Self {
        let (user, system) = processor_time();
        Self { began: Instant::now(), user, system }
    }

    /// A line such as `0.120u 0.010s 0:01.25`.
    fn report(&self) -> String {
        let (user, system) = processor_time();
        let (user, system) = (user.saturating_sub(self.user), system.saturating_sub(self.system));
        let passed = self.began.elapsed();
        let hundredths = (passed.as_millis() + 5) / 10;
        format!(
            "{}.{:03}u {}.{:03}s {}:{:02}.{:02}\n",
            user.as_secs(),
            user.subsec_millis(),
            system.as_secs(),
            system.subsec_millis(),
            hundredths / 6000,
            hundredths / 100 % 60,
            hundredths % 100
        )
    }
}
