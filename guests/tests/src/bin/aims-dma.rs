//! A device reaches guest memory alone, whatever a descriptor says. Ends by a fault: transmit cases at once, receive
//! cases with the first packet that arrives.
//!
//! Cases: `receive-` or `transmit-`, followed by `text`, `constants`, `tables` (the monitor's page tables), `stack` (the
//! monitor's fault stack), `registers`, `null`, `beyond` (first byte behind memory), `straddle` (across its end),
//! `before` (across its start), `wrap` (across the end of the address space), `long` (4 GiB from its start).
#![no_std]
#![no_main]

use minios::abi::boot::Queue;
use minios::abi::layout::{DATA_BASE, DEVICE_PAGE, IMAGE_BASE, MONITOR_BASE};
use minios::abi::virtqueue::{AVAILABLE_INDEX, AVAILABLE_RING, DESCRIPTOR_WRITE, Descriptor};
use minios::{boot, registers};

minios::image! { name: "aims-dma", main: main, net_minimum: 1, net_maximum: 1 }

fn main() -> minios::ExitCode {
    let device = &boot::net_devices()[0];
    let end = boot::page().memory.base + boot::page().memory.length;
    let Some((way, target)) = tests::case().split_once('-') else { return tests::no_such_case() };
    let (queue, flags) = match way {
        "receive" => (&device.receive, DESCRIPTOR_WRITE),
        "transmit" => (&device.transmit, 0),
        _ => return tests::no_such_case(),
    };
    let (address, length) = match target {
        "text" => (IMAGE_BASE + 0x1000, 2048),
        "constants" => (IMAGE_BASE, 2048),
        "tables" => (MONITOR_BASE + 0x3000, 2048),
        "stack" => (MONITOR_BASE + 0x2000, 2048),
        "registers" => (DEVICE_PAGE, 2048),
        "null" => (0, 2048),
        "beyond" => (end, 2048),
        "straddle" => (end - 1024, 2048),
        "before" => (DATA_BASE - 1024, 2048),
        "wrap" => (u64::MAX - 1023, 2048),
        "long" => (DATA_BASE, u32::MAX),
        _ => return tests::no_such_case(),
    };
    offer(queue, Descriptor { address, length, flags, next: 0 });
    minios::println!("aimed");
    registers::ready();
    registers::yield_until(Some(minios::clock::tsc_at(
        minios::clock::now() + core::time::Duration::from_secs(5),
    )));
    tests::survived()
}

/// Makes one descriptor available.
fn offer(queue: &Queue, descriptor: Descriptor) {
    // SAFETY: the ring's own words; what the descriptor names is the attack.
    unsafe {
        (queue.descriptors as *mut Descriptor).write_volatile(descriptor);
        ((queue.available + AVAILABLE_RING) as *mut u16).write_volatile(0);
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
        ((queue.available + AVAILABLE_INDEX) as *mut u16).write_volatile(1);
    }
    registers::ring(queue.doorbell);
}
