//! Deadlines are kept: never early, and not late by much. Prints what it measured; ends with 0, or with 5 if a wake-up
//! was early.
#![no_std]
#![no_main]

use core::time::Duration;
use minios::{ExitCode, clock, executor};

minios::image! { name: "sleeps", main: main }

fn main() -> ExitCode {
    executor::run(async {
        for micros in [0, 100, 1_000, 20_000] {
            let deadline = clock::now() + Duration::from_micros(micros);
            executor::sleep_until(deadline).await;
            let now = clock::now();
            if now < deadline {
                return ExitCode(5);
            }
            minios::println!("{micros} us: {} us late", now.since(deadline).as_micros());
        }
        ExitCode::SUCCESS
    })
}
