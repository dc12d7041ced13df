//! Survives peers whose memory shrinks. A `SIGBUS` at an address in a watched mapping puts anonymous zeroes in its place
//! and marks it broken; the port is closed when its worker next looks. Any other `SIGBUS` ends the process as before.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Most mappings at a time, of all peers.
const MAPPINGS: usize = 16384;

struct Entry {
    start: AtomicUsize,
    length: AtomicUsize,
    broken: AtomicBool,
}

static ENTRIES: [Entry; MAPPINGS] = [const {
    Entry { start: AtomicUsize::new(0), length: AtomicUsize::new(0), broken: AtomicBool::new(false) }
}; MAPPINGS];
/// One more than the highest entry ever used.
static HIGHEST: AtomicUsize = AtomicUsize::new(0);
/// Taken by whoever adds an entry; never by the signal handler.
static ADDING: std::sync::Mutex<()> = std::sync::Mutex::new(());
static INSTALLED: Once = Once::new();

/// The watch over all mappings.
pub struct Guard;

/// A mapping that is watched.
pub struct Watched(usize);

impl Watched {
    /// Whether the peer took a part of it away.
    #[inline]
    pub fn is_broken(&self) -> bool {
        ENTRIES[self.0].broken.load(Ordering::Relaxed)
    }

    /// Watches no longer.
    pub fn forget(&self) {
        ENTRIES[self.0].start.store(0, Ordering::Release);
    }
}

impl Guard {
    /// Watches a mapping until it is forgotten, which must be before it is unmapped; `None` if there are too many.
    pub fn watch(start: *mut u8, length: usize) -> Option<Watched> {
        INSTALLED.call_once(install);
        let _adding = ADDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let free = ENTRIES.iter().position(|e| e.start.load(Ordering::Acquire) == 0)?;
        let entry = &ENTRIES[free];
        entry.broken.store(false, Ordering::Relaxed);
        entry.length.store(length, Ordering::Relaxed);
        entry.start.store(start.addr(), Ordering::Release);
        HIGHEST.fetch_max(free + 1, Ordering::Release);
        Some(Watched(free))
    }
}

fn install() {
    // SAFETY: an all-zero `sigaction` is valid; the handler only uses atomics and `mmap`.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

extern "C" fn on_bus_error(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t`.
    let address = unsafe { (*info).si_addr() } as usize;
    let highest = HIGHEST.load(Ordering::Acquire).min(MAPPINGS);
    for entry in &ENTRIES[..highest] {
        let start = entry.start.load(Ordering::Acquire);
        let length = entry.length.load(Ordering::Relaxed);
        if start == 0 || address.wrapping_sub(start) >= length {
            continue;
        }
        entry.broken.store(true, Ordering::Relaxed);
        // SAFETY: replaces a mapping that this process made and still owns; copies from it go on with zeroes.
        let new = unsafe {
            libc::mmap(
                start as *mut libc::c_void,
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if new != libc::MAP_FAILED {
            return;
        }
    }
    // SAFETY: back to the default, which the repeated fault will meet.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}
