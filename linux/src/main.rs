//! `microvisor-linux`: runs one Linux guest. See `--help`.

use linux::options::{self, Command, HELP, Options, ReportTo};
use machine::error::Error;
use machine::report::{Report, Reporter, call_me, say};
use machine::timeline::Tsc;
use std::fs::File;
use std::os::fd::FromRawFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    let begun = Tsc::now();
    call_me("microvisor-linux");
    // No backtrace: it would open files, which no thread may once the guest runs.
    std::panic::set_hook(Box::new(|info| {
        say(&info.to_string());
        std::process::abort();
    }));
    let options = match options::parse(std::env::args_os()) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Check) => {
            return match linux::host::require_hardware() {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => refuse(&mut Reporter(None), &e),
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
        Err(e) => return refuse(&mut Reporter(None), &e),
    };
    let first = match report(&options) {
        Ok(first) => first,
        Err(e) => return refuse(&mut Reporter(None), &e),
    };
    let mut second = Reporter(first.as_ref().and_then(|f| f.try_clone().ok()));
    match linux::start::run(&options, begun, Reporter(first)) {
        // Nothing is left to tidy that the kernel does not tidy faster.
        Ok(status) => std::process::exit(status.into()),
        Err(e) => {
            refuse(&mut second, &e);
            // At once: this thread may be confined already, and no longer close what would be dropped.
            std::process::exit(e.status().into())
        }
    }
}

/// Where the report goes.
fn report(options: &Options) -> Result<Option<File>, Error> {
    match &options.report {
        None => Ok(None),
        // SAFETY: the starter opened it for this, and nothing else in this process uses it.
        Some(ReportTo::Descriptor(fd)) => Ok(Some(unsafe { File::from_raw_fd(*fd) })),
        Some(ReportTo::File(path)) => {
            let file = File::options().append(true).create(true).open(path);
            file.map(Some).map_err(|e| Error::Configuration(format!("--report {}: {e}", path.display())))
        }
    }
}

fn refuse(reporter: &mut Reporter, e: &Error) -> ExitCode {
    let (message, hint) = (e.to_string(), e.hint().map(str::to_owned));
    reporter.send(&Report::Refused { message, hint, status: e.status() });
    ExitCode::from(e.status())
}
