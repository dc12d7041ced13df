//! An honest driver's side of a device's registers (virtio 1.2, 4.2.3), as tests and fuzz targets need it.

use super::transport::{Slot, register};

/// Reads a register.
pub fn read(slot: &Slot, offset: u64) -> u32 {
    let mut word = [0; 4];
    slot.read(offset, &mut word);
    u32::from_le_bytes(word)
}

/// Writes a register.
pub fn write(slot: &Slot, offset: u64, value: u32) {
    slot.write(offset, &value.to_le_bytes());
}

/// What the device offers.
pub fn offered(slot: &Slot) -> u64 {
    let half = |which| {
        write(slot, register::OFFERED_HALF, which);
        u64::from(read(slot, register::OFFERED))
    };
    half(0) | half(1) << 32
}

/// Resets the device and sets it up with these features and up to three queues of eight entries; whether it took them.
/// `places` are the addresses of a queue's descriptors, available ring and used ring.
pub fn set_up(slot: &Slot, accepted: u64, places: impl Fn(u32) -> [u32; 3]) -> bool {
    write(slot, register::STATUS, 0);
    write(slot, register::STATUS, 3);
    for half in 0..2 {
        write(slot, register::ACCEPTED_HALF, half);
        write(slot, register::ACCEPTED, (accepted >> (32 * half)) as u32);
    }
    write(slot, register::STATUS, 11);
    for queue in 0..3 {
        write(slot, register::QUEUE, queue);
        if read(slot, register::QUEUE_MAXIMUM) == 0 {
            break;
        }
        let [descriptors, available, used] = places(queue);
        write(slot, register::QUEUE_SIZE, 8);
        write(slot, register::DESCRIPTORS_LOW, descriptors);
        write(slot, register::AVAILABLE_LOW, available);
        write(slot, register::USED_LOW, used);
        write(slot, register::QUEUE_READY, 1);
    }
    write(slot, register::STATUS, 15);
    read(slot, register::STATUS) == 15
}
