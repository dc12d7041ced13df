//! The audit log: a line of JSON for each request that changes something or is refused, in a file of its own.

use rustix::fs::Mode;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Most bytes of a path that are written down.
const PATH: usize = 1024;

/// A request.
#[derive(Serialize)]
pub struct Entry<'a> {
    /// When it arrived, nanoseconds since 1970.
    pub time_unix_ns: u64,
    /// Its id.
    pub request: &'a str,
    /// Who sent it by the Unix socket: the user's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Where it came from over TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<&'a str>,
    /// Name of the token that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// The answer's status; `null`: the client went away before there was one.
    pub status: Option<u16>,
}

impl Entry<'_> {
    /// Whether it belongs in the log: it is no question, or nobody who may ask it has.
    fn counts(&self) -> bool {
        !matches!(self.method, "GET" | "HEAD" | "OPTIONS") || matches!(self.status, Some(401 | 403))
    }
}

/// The file that is written to.
pub struct AuditLog {
    path: PathBuf,
    file: Mutex<File>,
}

fn open(path: &Path) -> io::Result<File> {
    let mode = (Mode::RUSR | Mode::WUSR).bits();
    OpenOptions::new().append(true).create(true).mode(mode).open(path)
}

impl AuditLog {
    /// Writes to the end of a file, which is made if it is absent.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { file: Mutex::new(open(&path)?), path })
    }

    /// Opens the path anew: whoever rotates logs has given the file another name.
    pub fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Writes a request down, if it belongs there. One that cannot be written is in the node's own log.
    pub fn record(&self, entry: &Entry<'_>) {
        if !entry.counts() {
            return;
        }
        let cut = entry.path.floor_char_boundary(PATH);
        let Ok(mut line) = serde_json::to_vec(&Entry { path: &entry.path[..cut], ..*entry }) else { return };
        line.push(b'\n');
        let written = self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        if let Err(e) = written {
            tracing::error!(request = entry.request, "{}: {e}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_refusals_are_lines_of_json_and_questions_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let log = AuditLog::open(path.clone()).unwrap();
        let long = format!("/v1/instances/{}é", "x".repeat(PATH));
        let entry = |method, status| Entry {
            time_unix_ns: 1,
            request: "req\n\"1\"",
            uid: Some(0),
            address: None,
            token: None,
            method,
            path: &long,
            status,
        };
        for (method, status) in [
            ("GET", Some(200)),
            ("POST", Some(201)),
            ("GET", Some(403)),
            ("DELETE", None),
            ("HEAD", Some(404)),
        ] {
            log.record(&entry(method, status));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let seen: Vec<_> =
            lines.iter().map(|l| (l["method"].as_str().unwrap(), l["status"].as_u64())).collect();
        assert_eq!(seen, [("POST", Some(201)), ("GET", Some(403)), ("DELETE", None)]);
        assert!(
            lines.iter().all(|l| l["request"] == "req\n\"1\"" && l["path"].as_str().unwrap().len() <= PATH)
        );
        let other = folder.path().join("audit.log.1");
        std::fs::rename(&path, &other).unwrap();
        log.record(&entry("POST", Some(201)));
        log.reopen().unwrap();
        log.record(&entry("POST", Some(409)));
        let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&other), lines(&path)), (4, 1));
    }
}
