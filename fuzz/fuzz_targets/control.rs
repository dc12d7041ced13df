//! Lines of the control socket.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<machine::control::Request>(line) {
        let again = serde_json::to_vec(&request).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<machine::control::Request>(&again).ok(), Some(request));
    }
});
