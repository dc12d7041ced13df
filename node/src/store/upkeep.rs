//! What the store does for itself, in a thread of its own and when nobody writes, so that no request waits for it: the log is
//! brought into the database, and what is too old is forgotten.

use super::{Error, Store, timelines};
use machine::timeline::unix_ns;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Between two looks.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// A log of this length is brought into the database once nothing is written between two looks, bytes.
const LOG_CHECKPOINT: u64 = 1 << 20;
/// A log of this length, whatever is written, bytes.
const LOG_MAXIMUM: u64 = 64 << 20;
/// How long an idempotency key is remembered, nanoseconds.
pub const KEY_NS: u64 = 86_400_000_000_000;

/// Looks after a store for as long as somebody uses it. `folder` is where it is.
pub fn begin(store: &Arc<Store>, folder: &Path) {
    let (store, log): (Weak<Store>, _) = (Arc::downgrade(store), folder.join("node.db-wal"));
    std::thread::spawn(move || {
        let mut before = 0;
        loop {
            std::thread::sleep(CHECK_INTERVAL);
            let Some(store) = store.upgrade() else { return };
            let length = std::fs::metadata(&log).map_or(0, |m| m.len());
            let quiet = length == before;
            before = length;
            if length < LOG_CHECKPOINT || (!quiet && length < LOG_MAXIMUM) {
                continue;
            }
            if let Err(e) = store.tidy() {
                tracing::error!("the store is not tidied: {e}");
            }
        }
    });
}

impl Store {
    /// Forgets what is too old, and empties the log.
    pub fn tidy(&self) -> Result<(), Error> {
        let db = self.db();
        timelines::purge(&db)?;
        let old = unix_ns().saturating_sub(KEY_NS) as i64;
        db.prepare_cached("DELETE FROM requests WHERE at < ?")?.execute([old])?;
        // Its row says how much was done; what was not is done the next time.
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_does_not_grow_for_ever_and_no_write_empties_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let log = folder.path().join("node.db-wal");
        let length = || std::fs::metadata(&log).unwrap().len();
        // Another text each time: the same again would not be written.
        for n in 0..100 {
            store.set_fact("long", &format!("{n:03}").repeat(33_333)).unwrap();
        }
        assert!(length() > 2 * LOG_CHECKPOINT, "{} bytes", length());
        begin(&store, folder.path());
        let emptied = (0..100).any(|_| {
            std::thread::sleep(CHECK_INTERVAL / 4);
            length() < LOG_CHECKPOINT
        });
        assert!(emptied, "{} bytes", length());
        assert_eq!(store.fact::<String>("long").unwrap().map(|text| text.len()), Some(99_999));
    }
}
