//! A panic of any thread ends the program. Programs are built to unwind, as tests have to, so that both share what is
//! compiled (`Cargo.toml` of the workspace).

/// From now on a panic is reported as ever, and then aborts the process (SIGABRT).
pub fn install() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}
