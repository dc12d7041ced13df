//! Any bytes as what a client of the control protocol sends: each command gets an answer, and how the bytes are cut
//! makes no difference.
#![no_main]

use click::{Router, Source};
use click_host::control::protocol::{Rules, Session};
use click_host::host::ProcessHost;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

const CONFIGURATION: &str =
    "Idle -> c :: Counter -> q :: Queue(10) -> s :: Shaper(5) -> u :: Unqueue -> Switch(0)
    -> f :: IPFilter(allow tcp, drop all) -> r :: RadixIPLookup(10/8 0) -> Discard; p :: HandlerProxy;
    Idle -> IPRewriter(pattern 1.0.0.1 1000-2000 - - 0 0) -> Discard";

thread_local! {
    static ROUTER: RefCell<(ProcessHost, Router)> = RefCell::new({
        let mut fuzz_host = ProcessHost::new(Vec::new(), false).expect("signals");
        let source = Source { name: "control.click", text: CONFIGURATION };
        let router = fuzz_host.router(&source).unwrap_or_else(|e| panic!("{e}"));
        (fuzz_host, router)
    });
}

/// Everything that is said to a client whose bytes come in pieces of this many.
fn conversation(bytes: &[u8], piece: usize, rules: &Rules) -> Vec<u8> {
    ROUTER.with_borrow_mut(|(fuzz_host, router)| {
        let mut session = Session::new();
        for part in bytes.chunks(piece) {
            session.input.extend_from_slice(part);
            session.work(&mut (&mut *router, &mut *fuzz_host), rules, false);
        }
        session.work(&mut (router, fuzz_host), rules, true);
        assert!(session.closing);
        session.output
    })
}

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let rules = Rules {
        read_only: choice & 1 != 0,
        proxy: (choice & 2 != 0).then(|| "p".to_string()),
        ..Rules::default()
    };
    let whole = conversation(bytes, bytes.len().max(1), &rules);
    assert!(whole.starts_with(b"Click::ControlSocket/1.3\r\n"));
    if rules.read_only {
        assert_eq!(whole, conversation(bytes, usize::from(choice >> 2) + 1, &rules));
    }
});
