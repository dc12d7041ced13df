//! Memory of the host: what a guest no longer needs goes back.

use crate::host::{Client, Guest, encode};
use e2e::eventually;

/// Sets `count` keys to values of 200 bytes that their numbers begin.
fn fill(client: &mut Client, count: usize) {
    for batch in 0..count / 1000 {
        let keys = batch * 1000..(batch + 1) * 1000;
        let bytes: Vec<u8> =
            keys.flat_map(|i| encode(&["SET", &format!("key:{i}"), &format!("{i:0200}")])).collect();
        client.send(&bytes);
        for _ in 0..1000 {
            assert_eq!(client.reply(), "+OK");
        }
    }
}

fn resident(guest: &Guest) -> u64 {
    e2e::guest_memory(guest.monitor())
}

#[test]
fn memory_that_is_freed_goes_back_to_the_host() {
    let guest = Guest::start(&["--memory", "256"]);
    let mut client = guest.connect();
    let before = resident(&guest);
    for _ in 0..3 {
        fill(&mut client, 200_000);
        let full = resident(&guest);
        assert!(full > before + (40 << 20), "{before} {full}");
        assert_eq!(client.ask("FLUSHALL"), "+OK");
        eventually("the host has it back", || resident(&guest) < before + (16 << 20));
        eprintln!("empty {before} bytes, full {full}, after FLUSHALL {}", resident(&guest));
    }
    // What is kept stays what it was, while memory around it goes back.
    fill(&mut client, 200_000);
    for i in (0..200_000).filter(|i| i % 1000 != 0) {
        client.send(&encode(&["UNLINK", &format!("key:{i}")]));
        if i % 1000 == 999 {
            for _ in 0..999 {
                assert_eq!(client.reply(), ":1");
            }
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    for i in (0..200_000).step_by(1000) {
        assert_eq!(client.ask(&format!("GET key:{i}")), format!("\"{i:0200}\""));
    }
    guest.stop();
}
