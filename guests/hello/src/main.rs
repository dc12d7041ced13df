//! The smallest guest: one line, then the end.
#![no_std]
#![no_main]

minios::image! { name: "hello", main: main }

fn main() {
    // The end follows at once, and with it all text that waits: no need to ring for it.
    minios::control::defer_doorbell(true);
    minios::println!("Hello from ring 3.");
}
