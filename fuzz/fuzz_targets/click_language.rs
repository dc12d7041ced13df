//! Click files: refused with a place, or right, in bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = click::Source { name: "fuzz.click", text };
    if let Err(diagnostics) = click::check(&source, &[("DEV".to_owned(), "eth0".to_owned())]) {
        let _ = diagnostics.to_string();
    }
});
