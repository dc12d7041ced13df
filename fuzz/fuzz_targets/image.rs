//! Image headers: refused or right, never a crash.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|head: &[u8]| {
    if let Ok(parsed) = vmm::image::parse(head, 1 << 20) {
        assert!(
            parsed.segments.iter().all(|s| s.file_length <= s.length && s.offset + s.file_length <= 1 << 20)
        );
    }
});
