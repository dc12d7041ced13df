//! The program `click`; everything is in the library.

/// A panic of any thread ends the program. It is built to unwind, as tests have to, so that both share what is compiled.
fn abort_at_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}

fn main() -> std::process::ExitCode {
    abort_at_panic();
    click_host::main(std::env::args_os())
}
