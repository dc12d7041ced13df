//! `microvisor node`: becomes the daemon, which is a program of its own.

use crate::output::Failure;
use crate::process;
use machine::status;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Never returns if the daemon can be started.
pub fn daemon(arguments: &[impl AsRef<OsStr>]) -> Failure {
    let program = process::sibling("microvisor-node");
    let e = Command::new(&program).args(arguments).exec();
    Failure::new(format!("cannot start {}: {e}", program.display()), status::HOST)
        .hint("install microvisor-node beside microvisor, or put it on the PATH")
}
