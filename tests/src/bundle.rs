//! Bundles for tests: folders with the header of a kernel and little else. They can be looked at, and do not run.

use std::fs;
use std::path::Path;

/// The header of a bzImage of this version, which needs 17 MiB of memory.
pub fn kernel(version: &str) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0x1fe, &0xaa55u16.to_le_bytes());
    put(0x202, b"HdrS");
    // Version 2.15 of the boot protocol, relocatable, with a 64-bit entry.
    put(0x206, &0x20fu16.to_le_bytes());
    put(0x20e, &0x800u16.to_le_bytes());
    put(0x234, &[1]);
    put(0x236, &[1]);
    put(0x260, &(16u32 << 20).to_le_bytes());
    put(0xa00, version.as_bytes());
    bytes
}

/// A bundle in a folder, which is made: two processors, 64 MiB, a disk of 2 MiB that is mostly a hole.
#[track_caller]
pub fn bundle(folder: &Path) {
    fs::create_dir_all(folder).expect("made");
    let text = "kernel = 'vmlinuz'\ninitrd = 'initrd.img'\ndisk = 'root.img'\ncpus = 2\nmemory-mib = 64\ncmdline = 'quiet'\n";
    fs::write(folder.join("image.toml"), text).expect("written");
    fs::write(folder.join("vmlinuz"), kernel("6.1.0-test (builder) #1")).expect("written");
    fs::write(folder.join("initrd.img"), [7; 1000]).expect("written");
    let disk = fs::File::create(folder.join("root.img")).expect("made");
    disk.set_len(2 << 20).expect("set");
    std::os::unix::fs::FileExt::write_all_at(&disk, b"disk", 0).expect("written");
}

/// Whether this host runs ring 0 of guests by hardware.
pub fn has_hardware() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").expect("there is one");
    flags.split_whitespace().any(|flag| flag == "svm" || flag == "vmx")
}
