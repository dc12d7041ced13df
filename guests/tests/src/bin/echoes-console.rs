//! What is typed reaches the guest, and a stop request does. Prints what it reads; ends with 0 at a line `quit`, with
//! 3 when it is asked to stop, and with 4 if the word `deaf=1` made it ignore the request for 60 s.
#![no_std]
#![no_main]

use core::time::Duration;
use minios::{ExitCode, console, control, executor};

minios::image! { name: "echoes-console", main: main }

fn main() -> ExitCode {
    executor::run(async {
        executor::spawn(async {
            control::stop_requested().await;
            if minios::boot::variable("deaf").is_some() {
                executor::sleep(Duration::from_secs(60)).await;
                minios::exit(ExitCode(4));
            }
            minios::println!("asked to stop");
            minios::exit(ExitCode(3));
        });
        minios::println!("listening");
        minios::registers::ready();
        let mut bytes = [0; 128];
        loop {
            let n = console::read(&mut bytes).await;
            console::write(&bytes[..n]);
            if bytes[..n].starts_with(b"quit") {
                return ExitCode::SUCCESS;
            }
        }
    })
}
