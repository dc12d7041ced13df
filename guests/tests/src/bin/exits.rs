//! Exit codes: 0 to 119 are the guest's, larger ones are taken as 119. Ends with `code=N`.
#![no_std]
#![no_main]

minios::image! { name: "exits", main: main }

fn main() -> minios::ExitCode {
    let code = minios::boot::variable("code").and_then(|code| code.parse().ok()).unwrap_or(0);
    minios::ExitCode(code)
}
