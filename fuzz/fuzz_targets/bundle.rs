//! An archive of anybody: refused, or a bundle; and in no case is anything written but a few regular files of the folder.
#![no_main]

use bundle::Bundle;
use bundle::archive::{pack, unpack};
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let above = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let folder = above.path().join("to");
    std::fs::create_dir(&folder).expect("new");
    let outcome = unpack(Cursor::new(bytes), &folder);
    assert_eq!(std::fs::read_dir(above.path()).expect("there").count(), 1);
    let entries = std::fs::read_dir(&folder).expect("there").flatten();
    let files: Vec<_> = entries.map(|entry| entry.file_type().expect("a type").is_file()).collect();
    assert!(files.len() <= 4 && files.iter().all(|is_file| *is_file));
    if outcome.is_ok() {
        assert!(Bundle::open(&folder, false).is_ok());
        // What was taken can be sent on.
        pack(&folder, &mut Vec::new()).expect("packed");
    }
});
