//! Ends the program when any thread panics. Programs and tests share their compiled dependencies, and tests have to unwind, so
//! programs are not built with `panic = "abort"` (`Cargo.toml` of the workspace).

/// Installs a panic hook that reports the panic as usual and then aborts the process (SIGABRT).
pub fn install() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}
