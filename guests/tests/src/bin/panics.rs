//! A panic ends the guest with 101, after a line with message, file and line number.
//!
//! Cases: `message`, `overflow` (an index beyond its slice), `heap` (exhausted), `error` (main returns an error:
//! ends with 1).
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

minios::image! { name: "panics", main: main }

fn main() -> Result<(), &'static str> {
    match tests::case() {
        "message" => panic!("out of {}", "cheese"),
        "overflow" => {
            let few = [1, 2, 3];
            let index = core::hint::black_box(7);
            minios::println!("{}", few[index]);
        }
        "heap" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(Vec::<u8>::with_capacity(10_000));
            }
        }
        "error" => return Err("this did not work out"),
        _ => return Err("no such case"),
    }
    Ok(())
}
