//! The program `click`; everything is in the library.

fn main() -> std::process::ExitCode {
    abort_on_panic::install();
    click_host::main(std::env::args_os())
}
