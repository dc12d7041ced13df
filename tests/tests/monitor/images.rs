//! Images that are refused before anything runs.

use e2e::{image, program, run, unique};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const REFUSED: u8 = machine::status::IMAGE_REFUSED;

/// An image file, removed with this.
struct Spoiled(PathBuf);

impl Spoiled {
    fn new(spoil: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = fs::read(image("hello")).expect("hello is built");
        spoil(&mut bytes);
        let path = std::env::temp_dir().join(unique("image"));
        fs::write(&path, bytes).expect("the temporary folder can be written");
        Self(path)
    }

    /// An image with one byte of its note changed, `at` bytes from the start of its descriptor.
    fn with_note(at: isize, byte: u8) -> Self {
        Self::new(|b| {
            let at = note(b).wrapping_add_signed(at);
            b[at] = byte;
        })
    }

    #[track_caller]
    fn is_refused(&self, says: &str) {
        run(Command::new(program("microvisor-vmm")).arg("--image").arg(&self.0)).ends(REFUSED, says);
    }
}

impl Drop for Spoiled {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Where the note's descriptor begins.
fn note(bytes: &[u8]) -> usize {
    bytes.windows(11).position(|w| w == b"MicroVisor\0").expect("hello has a note") + 12
}

/// Where a program header of a type with some flags begins.
fn header(bytes: &[u8], flags: u32) -> usize {
    let at = (64..)
        .step_by(56)
        .find(|&at| bytes[at..at + 4] == [1, 0, 0, 0] && bytes[at + 4..at + 8] == flags.to_le_bytes());
    at.expect("hello has such a segment")
}

#[test]
fn what_is_not_elf() {
    Spoiled::new(|b| b[0] = 0).is_refused("is not an ELF file");
    Spoiled::new(|b| b.truncate(10)).is_refused("too short");
    Spoiled::new(Vec::clear).is_refused("too short");
    Spoiled::new(|b| b.fill(0xff)).is_refused("is not an ELF file");
}

#[test]
fn what_is_truncated() {
    for keep in [100, 300, 4096, 5000] {
        Spoiled::new(|b| b.truncate(keep)).is_refused("");
    }
}

#[test]
fn what_is_for_something_else() {
    Spoiled::new(|b| b[18] = 3).is_refused("is not for x86-64");
    Spoiled::new(|b| b[4] = 1).is_refused("is not a 64-bit");
    Spoiled::new(|b| b[16] = 3).is_refused("non-PIE");
    run(Command::new(program("microvisor-vmm")).args(["--image", "/bin/true"])).ends(REFUSED, "");
    run(Command::new(program("microvisor-vmm")).args(["--image", "/no/such"])).ends(REFUSED, "No such file");
    run(Command::new(program("microvisor-vmm")).args(["--image", "/tmp"])).ends(REFUSED, "");
}

#[test]
fn what_wants_another_abi_or_processor() {
    Spoiled::with_note(0, 9).is_refused("guest ABI 9.0");
    Spoiled::with_note(2, 9).is_refused("guest ABI 1.9");
    Spoiled::with_note(4, 4).is_refused("x86-64 level 4");
    Spoiled::with_note(4, 77).is_refused("no version defines");
    Spoiled::with_note(-4, b'x').is_refused("no MicroVisor note");
}

#[test]
fn what_is_too_large_for_its_memory() {
    Spoiled::with_note(12, 1).is_refused("");
    let stack = |b: &mut Vec<u8>| {
        let at = note(b) + 24;
        b[at..at + 8].copy_from_slice(&(64u64 << 20).to_le_bytes());
    };
    Spoiled::new(stack).is_refused("KiB of memory");
    run(Command::new(program("microvisor-vmm"))
        .arg("--image")
        .arg(image("serves-tcp"))
        .args(["--memory", "1"]))
    .ends(REFUSED, "needs 8192 KiB");
}

#[test]
fn segments_that_are_writable_and_executable() {
    for flags in [4u32, 5, 6] {
        Spoiled::new(|b| {
            let at = header(b, flags);
            b[at + 4] = 7;
        })
        .is_refused("writable and executable");
    }
}

#[test]
fn segments_that_lie_elsewhere() {
    for address in [0u64, 0x10_0000, 0x20_0000, 0x0fff_f000, u64::MAX - 4095] {
        Spoiled::new(|b| {
            let at = header(b, 5) + 16;
            b[at..at + 8].copy_from_slice(&address.to_le_bytes());
        })
        .is_refused("");
    }
}

#[test]
fn random_bytes_anywhere_never_crash_the_monitor() {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..150 {
        let spoiled = Spoiled::new(|b| {
            for _ in 0..1 + random() % 6 {
                let at = (random() % 512) as usize;
                b[at] = random() as u8;
            }
        });
        let outcome = run(Command::new("timeout")
            .args(["-s", "KILL", "5"])
            .arg(program("microvisor-vmm"))
            .arg("--image")
            .arg(&spoiled.0));
        let fine = [0, 120, 121, 122].contains(&outcome.status);
        assert!(fine && !outcome.err.contains("panicked"), "{outcome:?}");
    }
}
