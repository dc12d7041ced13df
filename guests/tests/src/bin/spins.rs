//! A guest that never yields is legal, and can be ended at any time. Ends by the operator alone, without noticing.
#![no_std]
#![no_main]

minios::image! { name: "spins", main: main }

fn main() {
    minios::println!("spinning");
    minios::registers::ready();
    loop {
        core::hint::spin_loop();
    }
}
