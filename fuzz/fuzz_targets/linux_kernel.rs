//! A kernel and an initial file system of anybody: refused, or in memory where they have to be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use linux::boot::{info, kernel, parameters};
use linux::layout::{HIGH, PAGE};
use linux::memory::Memory;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use vm_memory::{Bytes, GuestAddress};

const MEMORY: u64 = 32 << 20;

thread_local! {
    static KEPT: RefCell<(Memory, [File; 2])> = RefCell::new((
        Memory::new(MEMORY).expect("memory"),
        [(); 2].map(|()| tempfile::tempfile_in("/dev/shm").expect("a file")),
    ));
}

fn fill(file: &File, bytes: &[u8]) {
    file.set_len(0).and_then(|()| file.write_all_at(bytes, 0)).expect("written");
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&part, bytes)) = bytes.split_first() else { return };
    let (image, initrd) = bytes.split_at(bytes.len() * usize::from(part) / 255);
    KEPT.with_borrow_mut(|(memory, [first, second])| {
        fill(first, image);
        fill(second, initrd);
        if let Ok(facts) = info::read_kernel_info(first, "kernel") {
            assert!(facts.version.is_none_or(|v| v.len() <= 128 && v.is_ascii()));
        }
        let Ok(loaded) = kernel::load(memory, first, "kernel") else { return };
        assert!((HIGH..MEMORY).contains(&loaded.entry) && loaded.end <= MEMORY);
        let Ok(range) = kernel::load_initrd(memory, second, &loaded) else { return };
        assert!(range.start >= loaded.end && range.end <= MEMORY && range.start % PAGE == 0);
        let mut there = vec![0; initrd.len()];
        memory.view().read_slice(&mut there, GuestAddress(range.start)).expect("it lies in memory");
        assert_eq!(there, initrd);
        parameters::write(memory, &loaded, range, "quiet").expect("there is room");
    });
});
