//! A guest cannot drown its monitor. Ends with 0 after `count=N` rounds (default 100,000), or with `panic=1` by a panic
//! (101), whose report arrives all the same.
//!
//! Cases: `console` (a line each), `bytes` (a byte each), `doorbell`, `ready`, `yield` (with deadline 0), `past` (with a
//! deadline in the past).
#![no_std]
#![no_main]

use minios::clock::Tsc;
use minios::registers;

minios::image! { name: "floods", main: main }

fn main() -> minios::ExitCode {
    let count = minios::boot::variable("count").and_then(|n| n.parse().ok()).unwrap_or(100_000u32);
    let case = tests::case();
    for i in 0..count {
        match case {
            "console" => minios::println!("line {i}: {:-<60}", ""),
            "bytes" => minios::print!("."),
            "doorbell" => registers::ring(minios::abi::registers::DOORBELL_CONTROL),
            "ready" => registers::ready(),
            "yield" => registers::yield_until(Some(Tsc(0))),
            "past" => registers::yield_until(Some(Tsc(minios::clock::tsc().0 - 1000))),
            _ => return tests::no_such_case(),
        }
    }
    if minios::boot::variable("panic").is_some() {
        panic!("after the flood");
    }
    minios::println!("done");
    minios::ExitCode::SUCCESS
}
