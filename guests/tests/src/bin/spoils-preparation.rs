//! Leaves behind from its preparation what it can: words at the console, stamps and counters that cannot be. As an instance
//! it says a word and is ready. Ends with 0.
#![no_std]
#![no_main]

use minios::abi::boot::GuestPage;
use minios::{boot, clock, println, registers};

minios::image! { name: "spoils-preparation", main: main, prepare: prepare }

fn prepare() {
    println!("from the preparation");
    let page = boot::page().guest_page as *mut u64;
    for word in 0..size_of::<GuestPage>() / 8 {
        // SAFETY: a word of the guest page, which is this guest's to write.
        unsafe { page.add(word).write_volatile(u64::MAX) };
    }
}

fn main() {
    println!("up-ns {}", clock::now().0);
    println!("from the instance");
    registers::ready();
}
