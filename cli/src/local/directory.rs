//! The run directory of an instance: made when it starts, locked by the process that supervises it, removed at its end.

use super::list::{is_running, remove, sweep, unfinished_name};
use super::record::{RECORD, RECORD_DRAFT, Record, SOCKET, check_name};
use crate::node::instances;
use api::local::{LOCK, LOCK_MARKER, root};
use machine::error::Error;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket that the kernel takes, bytes.
const SOCKET_PATH_MAXIMUM: usize = 107;

/// The run directory of an instance that this process supervises. Removed when dropped.
#[derive(Debug)]
pub struct RunDirectory {
    name: String,
    path: PathBuf,
    _lock: File,
}

impl RunDirectory {
    /// Takes a name: `wanted`, or `stem` with a number if that is taken.
    pub fn take(wanted: Option<&str>, stem: &str) -> Result<Self, Error> {
        let root = root();
        make_folder(&root)?;
        sweep(&root);
        if let Some(name) = wanted {
            check_name(name)?;
            // The node looks here after it has taken a name, and this looks there: one of the two sees the other.
            let taken = Self::try_take(&root, name)?;
            if taken.is_some() && instances::has_here(name) {
                return Err(Error::Host {
                    problem: format!("an instance of the node is named {name}"),
                    hint: "choose another --name".into(),
                });
            }
            return taken.ok_or_else(|| match is_running(name) {
                true => Error::Host {
                    problem: format!("an instance named {name} is running"),
                    hint: format!("choose another --name, or stop it: microvisor stop {name}"),
                },
                false => Error::Host {
                    problem: format!(
                        "{} is in the way and is not an instance's folder",
                        root.join(name).display()
                    ),
                    hint: "choose another --name".into(),
                },
            });
        }
        let stem = tidy(stem);
        for number in 1..10_000 {
            let name = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            if let Some(directory) = Self::try_take(&root, &name)?
                && !instances::has_here(&name)
            {
                return Ok(directory);
            }
        }
        Err(Error::Configuration(format!("ten thousand instances are named {stem}; give this one a --name")))
    }

    fn try_take(root: &Path, name: &str) -> Result<Option<Self>, Error> {
        let path = root.join(name);
        if path.join(SOCKET).as_os_str().len() > SOCKET_PATH_MAXIMUM {
            return Err(Error::Configuration(format!(
                "{}: too long for a socket; choose a shorter name",
                path.display()
            )));
        }
        // The folder appears complete and locked, so that nobody sweeps it while it is made.
        let draft = root.join(unfinished_name(name));
        DirBuilder::new().mode(0o700).create(&draft).map_err(|e| cannot_make(&draft, &e))?;
        let lock = File::create(draft.join(LOCK)).and_then(|mut file| {
            file.lock()?;
            file.write_all(LOCK_MARKER)?;
            Ok(file)
        });
        let taken = lock.and_then(|lock| {
            fs::rename(&draft, &path)?;
            Ok(lock)
        });
        match taken {
            Ok(lock) => Ok(Some(Self { name: name.into(), path, _lock: lock })),
            Err(e) => {
                remove(&draft);
                match e.kind() {
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => Ok(None),
                    _ => Err(cannot_make(&path, &e)),
                }
            }
        }
    }

    /// The instance's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path of its control socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    /// Leaves the directory to the process that was split off, which has the lock as well.
    pub fn hand_over(self) {
        std::mem::forget(self);
    }

    /// Writes down what the instance is.
    pub fn record(&self, record: &Record) -> io::Result<()> {
        let draft = self.path.join(RECORD_DRAFT);
        fs::write(&draft, serde_json::to_vec_pretty(record)?)?;
        fs::rename(draft, self.path.join(RECORD))
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn cannot_make(path: &Path, e: &io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::PermissionDenied => Error::Permission {
            doing: format!("create {}", path.display()),
            hint: "run as root, or set MICROVISOR_RUN_DIR to a folder of yours".into(),
        },
        _ => Error::Host {
            problem: format!("{}: {e}", path.display()),
            hint: "set MICROVISOR_RUN_DIR to a folder that can be written".into(),
        },
    }
}

fn make_folder(root: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o755).create(root).map_err(|e| cannot_make(root, &e))
}

fn tidy(stem: &str) -> String {
    let tidy: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let tidy = tidy.trim_matches('-');
    if tidy.is_empty() { "instance".into() } else { tidy.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_name_gives_a_name() {
        for stem in ["", "...", "ünïcode", "a b"] {
            assert!(check_name(&tidy(stem)).is_ok(), "{stem}");
        }
    }
}
