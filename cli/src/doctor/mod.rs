//! `microvisor doctor`: what this host has and lacks, each with the next step.
//!
//! | module | what it looks at |
//! |---|---|
//! | [`virtualisation`] | KVM, the processor, a guest that is started |
//! | [`system`] | kernel, limits, control groups, memory, clock: what the kernel says in files |
//! | [`node`] | the node, its switch, its networks' uplinks |

mod node;
mod system;
mod virtualisation;

use crate::output::{self, Failure};
use machine::status;
use serde::Serialize;
use std::path::Path;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Something works less well than it could, or not at all that not everybody needs.
    Warning,
    /// Nothing runs without it.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    /// What there is.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Check {
    fn new(name: &'static str, state: State, found: impl Into<String>, next: &str) -> Self {
        let next = (state != State::Ok).then(|| next.to_owned());
        Self { name, state, found: found.into(), next }
    }

    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, found, "")
    }
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    let width = checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    for check in checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Missing => "MISSING",
        };
        text += &format!("{state:<7}  {:<width$}  {}\n", check.name, check.found);
        if let Some(next) = &check.next {
            text += &format!("{:<7}  {:<width$}  next: {next}\n", "", "");
        }
    }
    text
}

/// `microvisor doctor`
pub fn doctor(json: bool) -> Result<(), Failure> {
    let mut checks = virtualisation::checks();
    checks.extend(system::checks(Path::new("/")));
    checks.extend(node::checks());
    if json {
        output::json(&checks)?
    } else {
        output::print(text(&checks))?
    }
    match checks.iter().any(|c| c.state == State::Missing) {
        true => Err(Failure::Reported(status::HOST)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_next_step_below_it() {
        let checks = [Check::ok("kvm", "here"), Check::new("clock", State::Warning, "hpet", "use tsc")];
        assert_eq!(
            text(&checks),
            "ok       kvm    here\nwarning  clock  hpet\n                next: use tsc\n"
        );
    }
}
