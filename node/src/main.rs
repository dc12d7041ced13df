//! `microvisor-node`: the daemon. See `--help`.

#![deny(unsafe_code)]

use api::Problem;
use clap::{CommandFactory, Parser};
use node::http::{self, Peer};
use node::node::Node;
use node::settings::Settings;
use node::store::backup;
use node::tls::{Credentials, Tls};
use node::{process, removal, service};
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Turns this host into a node: instances on demand, through an API on a Unix socket
///
/// Instances and the switch go on when it ends, and the next one finds them again.
#[derive(Parser)]
#[command(name = "microvisor-node", version, max_term_width = 100)]
struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Check the configuration and end
    #[arg(long)]
    check: bool,
    /// End all instances and the switch at once, which outlive the daemon, and end; before MicroVisor is removed
    #[arg(long)]
    end_all: bool,
    /// Make the store from a backup, and end; a store that is there already is refused
    #[arg(long, value_name = "FILE")]
    restore: Option<PathBuf>,
    /// Print the API's description (OpenAPI 3.1) and end
    #[arg(long)]
    openapi: bool,
    /// Print the manual page and end
    #[arg(long)]
    man: bool,
    /// Log as JSON, one object a line
    #[arg(long)]
    log_json: bool,
}

/// The configuration or the command line is refused.
const REFUSED: u8 = 122;
/// Something on the host is missing or in use.
const HOST: u8 = 124;

/// Fewer descriptors than this are worth a warning: a thousand devices, with some to spare.
const DESCRIPTORS: u64 = 8192;
/// How long a daemon that was killed may take to be gone, and how often that is looked at.
const PREDECESSOR: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(20);
/// How long work may take that is still being done for others, when the daemon ends: another machine may never answer.
const ENDING: Duration = Duration::from_secs(1);

fn fail(message: &str, hint: Option<&str>, status: u8) -> ExitCode {
    eprintln!("microvisor-node: {message}");
    if let Some(hint) = hint {
        eprintln!("  {hint}");
    }
    ExitCode::from(status)
}

fn main() -> ExitCode {
    abort_on_panic::install();
    node::failpoint::set_up();
    let handed_over = match service::socket() {
        Ok(socket) => socket,
        Err(e) => return fail(&e.to_string(), None, HOST),
    };
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(e) => {
            // Nothing can be done about a standard output that is gone.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { REFUSED } else { 0 });
        }
    };
    if options.openapi {
        println!("{}", http::document());
        return ExitCode::SUCCESS;
    }
    if options.man {
        let written = clap_mangen::Man::new(Options::command()).section("8").render(&mut std::io::stdout());
        return written.map_or_else(|e| fail(&e.to_string(), None, HOST), |()| ExitCode::SUCCESS);
    }
    let settings = match options.settings.read() {
        Ok(settings) => settings,
        Err(e) => return fail(&e.to_string(), None, REFUSED),
    };
    if let Some(file) = &options.restore {
        return match backup::restore(file, settings.state()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(&e.to_string(), e.hint.as_deref(), HOST),
        };
    }
    if options.check {
        return ExitCode::SUCCESS;
    }
    let wanted: Option<Targets> = std::env::var("RUST_LOG").ok().and_then(|levels| levels.parse().ok());
    let log = tracing_subscriber::registry()
        .with(wanted.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if options.log_json {
        log.with(lines.json()).init();
    } else {
        log.with(lines).init();
    }
    // The switch, which is started from here, has about seven descriptors a port.
    match switch::confine::raise_descriptor_limit() {
        Ok(limit) if limit < DESCRIPTORS => tracing::warn!(
            limit,
            "few descriptors: enough for about {} devices; raise LimitNOFILE of the service",
            limit / 8
        ),
        Ok(_) => {}
        Err(e) => tracing::warn!("descriptors: {e}"),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("threads: {e}"), None, HOST),
    };
    if options.end_all {
        return match runtime.block_on(removal::end_all(&settings)) {
            Ok(_) => ExitCode::SUCCESS,
            Err(e) => fail(&e.to_string(), e.hint.as_deref(), HOST),
        };
    }
    let status = runtime.block_on(run(settings, handed_over));
    runtime.shutdown_timeout(ENDING);
    status
}

/// The API's socket. One that nobody listens on any more is replaced.
async fn listen(path: &Path) -> Result<UnixListener, String> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let problem = |e: std::io::Error| format!("{}: {e}", path.display());
    // A daemon that was killed holds its socket until the last of its threads has ended.
    let deadline = tokio::time::Instant::now() + PREDECESSOR;
    let listener = loop {
        match listener::bind(path) {
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(AGAIN).await;
            }
            outcome => break outcome.map_err(problem)?,
        }
    };
    listener.set_nonblocking(true).map_err(problem)?;
    let listener = UnixListener::from_std(listener).map_err(problem)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(problem)?;
    Ok(listener)
}

/// The API's socket as the service manager has made it, where clients look for it.
fn adopt(listener: std::os::unix::net::UnixListener, path: &Path) -> Result<UnixListener, String> {
    let problem = |e: std::io::Error| format!("the service manager's socket: {e}");
    let address = listener.local_addr().map_err(problem)?;
    if address.as_pathname() != Some(path) {
        let place = address.as_pathname().unwrap_or(Path::new("another place")).display();
        return Err(format!("the service manager listens at {place}, and not at {}", path.display()));
    }
    listener.set_nonblocking(true).map_err(problem)?;
    UnixListener::from_std(listener).map_err(problem)
}

/// `handed_over` is the API's socket if the service manager has made it, which then keeps it.
async fn run(settings: Settings, handed_over: Option<std::os::unix::net::UnixListener>) -> ExitCode {
    let (socket, is_ours) = (settings.socket(), handed_over.is_none());
    // It may have been removed by others.
    let remove = || drop(is_ours.then(|| std::fs::remove_file(&socket)));
    let listening = match handed_over {
        Some(listener) => adopt(listener, &socket),
        // Taken first: two daemons must not look after the same instances.
        None => listen(&socket).await,
    };
    let listener = match listening {
        Ok(listener) => listener,
        Err(e) => return fail(&e, Some("choose others with --run and --state"), HOST),
    };
    tokio::spawn(process::reap());
    let node = match Node::begin(settings).await {
        Ok(node) => node,
        Err(e) => {
            remove();
            return fail(&e.to_string(), e.hint.as_deref(), HOST);
        }
    };
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(mut terminated), Ok(mut interrupted), Ok(mut reload)] = signals else {
        return fail("signals cannot be waited for", None, HOST);
    };
    let router = http::router(node.clone());
    let remote = match remote(&node.settings).await {
        Ok(remote) => remote,
        Err(e) => {
            remove();
            return fail(&e.to_string(), e.hint.as_deref(), HOST);
        }
    };
    tracing::info!(socket = %socket.display(), "the node is ready");
    service::ready(&node);
    let credentials = match &remote {
        Remote::Tls(_, credentials) => Some(credentials.clone()),
        _ => None,
    };
    let reloads = async {
        while reload.recv().await.is_some() {
            tokio::task::block_in_place(|| reread(&node, credentials.as_ref()));
        }
    };
    let served = tokio::select! {
        () = reloads => Ok(()),
        outcome = http::serve(listener, router.clone(), http::LOCAL, |stream, _| Peer::local(stream)) => outcome,
        outcome = serve(remote, router) => outcome,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    };
    service::stopping();
    node.prepared.close().await;
    node.confinement.groups.close();
    node.events.flush();
    remove();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e.to_string(), None, HOST),
    }
}

/// Reads the settings and what they name again; what is wrong with them leaves everything as it was.
fn reread(node: &Node, credentials: Option<&Credentials>) {
    if let Some(audit) = &node.audit {
        match audit.reopen() {
            Ok(()) => tracing::info!("the audit log is opened anew"),
            Err(e) => tracing::error!("the audit log stays as it was: {e}"),
        }
    }
    let read = Options::try_parse().map_err(|e| e.to_string());
    let settings = match read.and_then(|o| o.settings.read().map_err(|e| e.to_string())) {
        Ok(settings) => settings,
        Err(e) => return tracing::error!("nothing is reloaded: {e}"),
    };
    if let (Some(credentials), Some(certificate), Some(key)) =
        (credentials, &settings.tls_certificate, &settings.tls_key)
    {
        match credentials.replace(certificate, key) {
            Ok(()) => tracing::info!("the certificate is read again"),
            Err(e) => tracing::error!("the certificate stays as it was: {e}"),
        }
    }
    for key in settings.in_force_later(&node.settings) {
        tracing::warn!(key, "it is changed with the next start of the daemon");
    }
}

/// Where others than this host's users are served.
enum Remote {
    Nowhere,
    Plain(TcpListener),
    Tls(Tls, Credentials),
}

async fn remote(settings: &Settings) -> Result<Remote, Problem> {
    let Some(address) = settings.listen else { return Ok(Remote::Nowhere) };
    let listener =
        TcpListener::bind(address).await.map_err(|e| Problem::host(format!("listen at {address}: {e}")))?;
    tracing::info!(address = listener.local_addr().map_or(address, |a| a).to_string(), "listening");
    match (&settings.tls_certificate, &settings.tls_key) {
        (Some(certificate), Some(key)) => {
            let credentials = Credentials::read(certificate, key)?;
            Ok(Remote::Tls(Tls::new(listener, credentials.clone())?, credentials))
        }
        _ => Ok(Remote::Plain(listener)),
    }
}

async fn serve(remote: Remote, router: axum::Router) -> std::io::Result<()> {
    match remote {
        Remote::Nowhere => std::future::pending().await,
        Remote::Plain(listener) => {
            http::serve(listener, router, http::REMOTE, |_, peer| Peer::remote(peer)).await
        }
        Remote::Tls(tls, _) => http::serve(tls, router, http::REMOTE, |_, peer| Peer::remote(peer)).await,
    }
}
