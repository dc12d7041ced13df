//! KVM: which, what it can do, and whether a guest really starts.

use super::{Check, State};
use linux::host::Hardware;
use machine::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A guest that starts, prints a line and ends takes a few milliseconds; on a loaded host more.
const SLOW: Duration = Duration::from_millis(500);

fn refused(name: &'static str, state: State, e: &Error) -> Check {
    Check::new(name, state, e.to_string(), e.hint().unwrap_or("see docs/operations.md"))
}

/// The module of KVM that is there, and how it runs guests.
fn kind() -> &'static str {
    let loaded = |module: &str| Path::new("/sys/module").join(module).exists();
    match Hardware::of_processor() {
        Some(Hardware::Vmx) if loaded("kvm_intel") => "kvm_intel: by VT-x",
        Some(Hardware::Svm) if loaded("kvm_amd") => "kvm_amd: by SVM",
        _ if loaded("kvm_pvm") => "kvm_pvm: without hardware support, guests in ring 3 only",
        _ => "of an unknown kind",
    }
}

/// Runs the image `hello`, as `microvisor run hello` does.
fn guest() -> Check {
    let begun = Instant::now();
    let program = std::env::current_exe().unwrap_or_else(|_| "microvisor".into());
    let name = format!("doctor-{}", std::process::id());
    let outcome = Command::new(program)
        .args(["run", "hello", "--name", &name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    let took = begun.elapsed();
    let next = "try it: microvisor run hello --timeline";
    match outcome {
        Ok(o) if o.status.success() && took < SLOW => {
            Check::ok("guest", format!("hello started and ended in {:.1} ms", took.as_secs_f64() * 1e3))
        }
        Ok(o) if o.status.success() => {
            let found = format!("hello took {:.1} s", took.as_secs_f64());
            Check::new("guest", State::Warning, found, "look for what keeps the processors busy: top")
        }
        Ok(o) => {
            let said = String::from_utf8_lossy(&o.stderr);
            let said = said.lines().next().unwrap_or("hello failed").trim_start_matches("microvisor: ");
            Check::new("guest", State::Missing, said.to_owned(), next)
        }
        Err(e) => Check::new("guest", State::Missing, e.to_string(), next),
    }
}

/// What there is of virtualisation.
pub fn checks() -> Vec<Check> {
    let kvm = match machine::host::open_kvm() {
        Ok(kvm) => kvm,
        Err(e) => return vec![refused("kvm", State::Missing, &e)],
    };
    let linux = linux::host::require_hardware().and_then(|()| linux::host::require_capabilities(&kvm, 1));
    let linux = match linux {
        Ok(()) => Check::ok("linux guests", "kernels run here, too"),
        Err(e) => refused("linux guests", State::Warning, &e),
    };
    vec![Check::ok("kvm", kind()), guest(), linux]
}
