//! A stack has guard pages at both ends. Ends by a fault.
//!
//! Cases: `recursion`, `above` (one store beyond the top), `below` (one store below the end).
#![no_std]
#![no_main]

minios::image! { name: "overruns-stack", main: main }

#[inline(never)]
#[allow(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 64]);
    deeper(depth + 1) + frame[(depth % 64) as usize]
}

fn main() -> minios::ExitCode {
    let stack = minios::boot::page().stack;
    let target = match tests::case() {
        "recursion" => {
            minios::println!("{}", deeper(0));
            return tests::survived();
        }
        "above" => stack.base + stack.length,
        "below" => stack.base - 8,
        _ => return tests::no_such_case(),
    };
    // SAFETY: not at all: this is the attack.
    unsafe { (target as *mut u64).write_volatile(7) };
    tests::survived()
}
