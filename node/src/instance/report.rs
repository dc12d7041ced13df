//! What monitors say of themselves, line by line, in a file each: it stays when the daemon goes.

use futures_util::StreamExt;
use inotify::{Inotify, WatchDescriptor, WatchMask, Watches};
use machine::report::Report;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Longest report, bytes: two timelines, the last of a console, escaped, and a few lost devices.
const LENGTH: u64 = 4 << 20;
/// A report until its guest is ready is shorter, bytes.
const USUAL: usize = 4096;
/// What is read at once, bytes.
const PIECE: u64 = 1 << 20;

/// Watches all reports.
pub struct Watcher {
    watches: Mutex<Watches>,
    changed: Arc<Mutex<HashMap<WatchDescriptor, Arc<Notify>>>>,
}

impl Watcher {
    /// A watcher without reports.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        let changed: Arc<Mutex<HashMap<WatchDescriptor, Arc<Notify>>>> = Arc::default();
        let map = changed.clone();
        let mut stream = inotify.into_event_stream(vec![0; 4096])?;
        tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                let Ok(event) = event else { continue };
                let map = map.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(notify) = map.get(&event.wd) {
                    notify.notify_one();
                }
            }
        });
        Ok(Self { watches: Mutex::new(watches), changed })
    }

    fn watch(&self, path: &Path) -> io::Result<(WatchDescriptor, Arc<Notify>)> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut map = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let wd = watches.add(path, WatchMask::MODIFY)?;
        let notify = Arc::new(Notify::new());
        map.insert(wd.clone(), notify.clone());
        Ok((wd, notify))
    }

    fn forget(&self, wd: WatchDescriptor) {
        let mut map = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        map.remove(&wd);
        drop(map);
        // The file may be gone, and its watch with it.
        let _ = self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(wd);
    }
}

/// One monitor's report, as far as it was read.
pub struct Reader {
    file: File,
    read: u64,
    rest: Vec<u8>,
    watch: Option<(WatchDescriptor, Arc<Notify>)>,
}

impl Reader {
    /// The report at a path, made empty if it is not there.
    pub fn open(watcher: &Watcher, path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        Ok(Self { file, read: 0, rest: Vec::new(), watch: Some(watcher.watch(path)?) })
    }

    /// Waits until there is more.
    pub async fn changed(&self) {
        match &self.watch {
            Some((_, notify)) => notify.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The lines that have come since the last time. Of a report that is too long only the beginning is read.
    pub fn lines(&mut self) -> Vec<Report> {
        let mut lines = Vec::new();
        // Room for a usual report: it is read at once.
        self.rest.reserve(USUAL);
        while !self.is_too_long() {
            let read = self
                .file
                .seek(SeekFrom::Start(self.read))
                .and_then(|_| (&mut self.file).take(PIECE).read_to_end(&mut self.rest));
            let Ok(read @ 1..) = read else { break };
            self.read += read as u64;
            let whole = self.rest.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
            for line in self.rest[..whole].split_inclusive(|&b| b == b'\n') {
                match serde_json::from_slice(line) {
                    Ok(report) => lines.push(report),
                    Err(e) => tracing::warn!("a line of a report makes no sense: {e}"),
                }
            }
            self.rest.drain(..whole);
        }
        lines
    }

    /// Whether it is longer than any monitor's.
    pub fn is_too_long(&self) -> bool {
        self.read >= LENGTH
    }

    /// Nothing more is expected.
    pub fn close(&mut self, watcher: &Watcher) {
        if let Some((wd, _)) = self.watch.take() {
            watcher.forget(wd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn a_report_is_read_line_by_line_and_no_further_than_it_may_be_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        let mut reader = Reader::open(&Watcher::new().unwrap(), &path).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        let line = br#"{"report":"device-lost","device":1,"message":"gone"}"#;
        file.write_all(line).unwrap();
        assert!(reader.lines().is_empty());
        file.write_all(b"\nnonsense\n").unwrap();
        file.write_all(line).unwrap();
        file.write_all(b"\n").unwrap();
        assert_eq!(reader.lines().len(), 2);
        for _ in 0..8 {
            file.write_all(&[b'x'; 1 << 20]).unwrap();
        }
        assert!(reader.lines().is_empty());
        assert!(reader.is_too_long() && reader.rest.len() as u64 <= LENGTH + PIECE);
    }
}
