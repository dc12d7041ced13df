//! The program `click`; everything is in the library.

fn main() -> std::process::ExitCode {
    click_host::main(std::env::args_os())
}
