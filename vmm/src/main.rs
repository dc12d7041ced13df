//! `microvisor-vmm`: runs one guest. See `--help`.

use std::fs::File;
use std::os::fd::FromRawFd;
use std::process::ExitCode;
use vmm::clock::Tsc;
use vmm::error::Error;
use vmm::options::{self, Command, HELP, Options};
use vmm::report::{Report, Reporter, say};

fn main() -> ExitCode {
    let begun = Tsc::now();
    // No backtrace: it would open files, which no thread may once the guest runs.
    std::panic::set_hook(Box::new(|info| say(&info.to_string())));
    let options = match options::parse(std::env::args_os()) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            println!("microvisor-vmm {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(e) => return refuse(&mut Reporter(None), &e),
    };
    let first = report(&options);
    let mut second = Reporter(first.as_ref().and_then(|f| f.try_clone().ok()));
    match vmm::machine::run(&options, begun, Reporter(first)) {
        // Nothing is left to tidy that the kernel does not tidy faster.
        Ok(status) => std::process::exit(status.into()),
        Err(e) => refuse(&mut second, &e),
    }
}

/// The report's descriptor, handed over by the starter.
fn report(options: &Options) -> Option<File> {
    // SAFETY: the starter opened it for this, and nothing else in this process uses it.
    options.report.map(|fd| unsafe { File::from_raw_fd(fd) })
}

fn refuse(reporter: &mut Reporter, e: &Error) -> ExitCode {
    let (message, hint) = (e.to_string(), e.hint().map(str::to_owned));
    reporter.send(&Report::Refused { message, hint, status: e.status() });
    ExitCode::from(e.status())
}
