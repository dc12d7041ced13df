//! `microvisor node backup` and `microvisor node restore`: all that a node knows, in one file.

use super::context;
use super::daemon;
use crate::output::Failure;
use api::client::Method;
use machine::status;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What `microvisor node` is asked for, if not the daemon itself.
pub fn node(arguments: &[OsString]) -> Result<(), Failure> {
    let word = arguments.first().and_then(|word| word.to_str());
    match (word, arguments.get(1)) {
        (Some("backup"), Some(file)) if arguments.len() == 2 => backup(Path::new(file)),
        (Some("restore"), Some(file)) => {
            let rest = arguments[2..].iter().map(OsString::as_os_str);
            let arguments: Vec<&OsStr> =
                ["--restore".as_ref(), file.as_os_str()].into_iter().chain(rest).collect();
            Err(daemon::daemon(&arguments))
        }
        (Some("backup" | "restore"), _) => {
            let message =
                "name one file: microvisor node backup FILE, microvisor node restore FILE [OPTIONS]";
            Err(Failure::new(message, status::CONFIGURATION_REFUSED))
        }
        _ => Err(daemon::daemon(arguments)),
    }
}

/// Writes what the node sends to a file, which is there as a whole or not at all.
fn backup(file: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", file.display()), status::HOST);
    let client = context::required()?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let draft = file.with_file_name(name);
    // It holds every configuration, and what tokens are known by.
    let open = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft);
    let mut to = open.map_err(failed)?;
    let mut written = Ok(());
    let outcome = client.stream(Method::POST, "/v1/backup", |piece| {
        written = to.write_all(piece);
        written.is_ok()
    });
    let outcome = outcome.map_err(Failure::from).and_then(|()| {
        written.and_then(|()| to.sync_all()).and_then(|()| std::fs::rename(&draft, file)).map_err(failed)
    });
    if outcome.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    outcome
}
