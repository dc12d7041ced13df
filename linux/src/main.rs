//! `microvisor-linux`: runs one Linux guest. See `--help`.

use linux::options::{self, Command, HELP};
use machine::report::{Reporter, abort_at_panic, set_program};
use machine::timeline::Tsc;
use std::process::ExitCode;

fn main() -> ExitCode {
    let begun = Tsc::now();
    set_program("microvisor-linux");
    abort_at_panic();
    let options = match options::parse(std::env::args_os()) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Check) => {
            return match linux::host::require_hardware() {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => Reporter(None).refuse(&e).into(),
            };
        }
        Ok(Command::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            println!("microvisor-linux {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(e) => return Reporter(None).refuse(&e).into(),
    };
    let [first, mut second] = match Reporter::open(options.common.report.as_ref()) {
        Ok(both) => both,
        Err(e) => return Reporter(None).refuse(&e).into(),
    };
    match linux::start::run(&options, begun, first) {
        // Nothing is left to tidy that the kernel does not tidy faster.
        Ok(status) => std::process::exit(status.into()),
        Err(e) => {
            second.refuse(&e);
            // At once: this thread may be confined already, and no longer close what would be dropped.
            std::process::exit(e.status().into())
        }
    }
}
