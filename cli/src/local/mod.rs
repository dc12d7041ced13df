//! `microvisor run` without the node: everything is checked before anything is made, then one monitor is started and
//! watched to its end.
//!
//! | module | what it does |
//! |---|---|
//! | `prepare`, `linux` | checks the options and makes what a monitor needs |
//! | `tap` | opens TAPs |
//! | `directory`, [`list`], [`record`] | run directories: one instance's, all of them, what is in them |
//! | `monitor` | starts the monitor and reads its report |
//! | `foreground`, `background` | supervise it, here or in a process of its own |
//! | `outcome`, `symbols` | tell how it ended |

mod background;
mod directory;
mod foreground;
mod linux;
pub mod list;
mod monitor;
mod outcome;
mod prepare;
pub mod record;
mod symbols;
mod tap;

use crate::options::RunOptions;
use crate::output::Failure;
use machine::timeline::Tsc;
use outcome::Output;

/// Runs an instance; the exit status of the command. `begun`: when the command was started.
pub fn run(o: &RunOptions, begun: Tsc) -> Result<u8, Failure> {
    let output = Output { json: o.json, timeline: o.timeline };
    let prepared = match linux::Source::of(o) {
        Some(source) => linux::prepare(o, source, begun),
        None => prepare::prepare(o, begun),
    };
    match prepared {
        Ok(monitor) if o.detach => background::run(monitor, output),
        Ok(monitor) => foreground::run(monitor, output),
        Err(e) => output.refused(&e.to_string(), e.hint(), e.status()),
    }
}
