//! `microvisor-switch`: the data plane as a process of its own. See `--help`.

#![deny(unsafe_code)]

use clap::{CommandFactory, Parser};
use signal_hook::low_level::pipe;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use switch::config::Config;
use switch::manage::Switch;

/// A user-space switch: vhost-user, TAP, packet and XDP ports, segments, bonds
///
/// `microvisor switch` looks at it and changes it while it runs.
#[derive(Parser)]
#[command(name = "microvisor-switch", version, max_term_width = 100)]
struct Options {
    /// Configuration file (TOML); without one, the switch begins empty
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// Control socket
    #[arg(long, default_value = "/run/microvisor/switch.sock")]
    control: PathBuf,
    /// Check the configuration file and end
    #[arg(long, requires = "config")]
    check: bool,
    /// Print the manual page and end
    #[arg(long)]
    man: bool,
}

/// The configuration or the command line is refused.
const REFUSED: u8 = 122;
/// Something on the host is missing or in use.
const HOST: u8 = 124;

fn fail(message: &str, status: u8) -> ExitCode {
    eprintln!("microvisor-switch: {message}");
    ExitCode::from(status)
}

/// The control socket. One that nobody listens on any more is replaced.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let listener = listener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn main() -> ExitCode {
    abort_on_panic::install();
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(e) => {
            // Nothing can be done about a standard output that is gone.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { REFUSED } else { 0 });
        }
    };
    if options.man {
        let written = clap_mangen::Man::new(Options::command()).section("8").render(&mut io::stdout());
        return written.map_or_else(|e| fail(&e.to_string(), HOST), |()| ExitCode::SUCCESS);
    }
    let mut config = Config::default();
    if let Some(path) = &options.config {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) => return fail(&format!("{}: {e}", path.display()), REFUSED),
        };
        config = match Config::from_toml(&text) {
            Ok(config) => config,
            Err(e) => return fail(&format!("{}: {e}", path.display()), REFUSED),
        };
        if let Err(e) = config.check() {
            return fail(&format!("{}: {e}", path.display()), REFUSED);
        }
    }
    if options.check {
        return ExitCode::SUCCESS;
    }
    let listener = match listen(&options.control) {
        Ok(listener) => listener,
        Err(e) => return fail(&format!("control socket {}: {e}", options.control.display()), HOST),
    };
    let outcome = run(&config, listener);
    // It may have been removed by others.
    let _ = std::fs::remove_file(&options.control);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e, HOST),
    }
}

fn run(config: &Config, listener: UnixListener) -> Result<(), String> {
    switch::confine::raise_descriptor_limit().map_err(|e| format!("raise the limit of descriptors: {e}"))?;
    switch::confine::process().map_err(|e| format!("give up privileges: {e}"))?;
    let (signalled, signal) = UnixStream::pair().map_err(|e| e.to_string())?;
    for number in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let pipe_end = signal.try_clone().map_err(|e| e.to_string())?;
        pipe::register(number, pipe_end).map_err(|e| e.to_string())?;
    }
    let mut switch = Switch::new(config, Some(listener)).map_err(|e| e.to_string())?;
    switch.end_on(&signalled).map_err(|e| e.to_string())?;
    switch.apply(config.clone()).map_err(|e| e.to_string())?;
    for thread in 0..config.switch.threads {
        let place = config.switch.cpus.get(thread);
        let place = place.map_or("where the scheduler puts it".into(), |cpu| format!("on CPU {cpu}"));
        eprintln!("microvisor-switch: thread {thread} of the data plane runs {place}");
    }
    switch.run();
    Ok(())
}
