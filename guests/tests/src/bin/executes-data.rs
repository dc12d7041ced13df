//! A guest cannot run what it can write. Ends by a fault.
//!
//! Cases: `heap`, `stack`, `data`, `rings`, `constants` (which it cannot write either), `boot`.
#![no_std]
#![no_main]

extern crate alloc;

minios::image! { name: "executes-data", main: main }

/// `ret`
const RETURN: u8 = 0xc3;
static CONSTANT: [u8; 16] = [RETURN; 16];
static DATA: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(RETURN);

fn main() -> minios::ExitCode {
    let heap = alloc::boxed::Box::new([RETURN; 64]);
    let stack = [RETURN; 64];
    let page = minios::boot::page();
    let target = match tests::case() {
        "heap" => heap.as_ptr(),
        "stack" => stack.as_ptr(),
        "data" => DATA.as_ptr(),
        "rings" => page.control_page as *const u8,
        "constants" => CONSTANT.as_ptr(),
        "boot" => core::ptr::from_ref(page).cast(),
        _ => return tests::no_such_case(),
    };
    // SAFETY: not at all: this is the attack. Whatever is there, calling it must fault.
    let function: extern "C" fn() = unsafe { core::mem::transmute(core::hint::black_box(target)) };
    function();
    tests::survived()
}
