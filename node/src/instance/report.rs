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

/// Longest line, bytes: a timeline and the last of a console, escaped.
const LINE: usize = 1 << 20;

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

    /// The lines that have come since the last time.
    pub fn lines(&mut self) -> Vec<Report> {
        let mut more = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(self.read))
            .and_then(|_| (&mut self.file).take(LINE as u64).read_to_end(&mut more));
        self.read += read.unwrap_or(0) as u64;
        self.rest.extend(more);
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(report) => lines.push(report),
                Err(e) => tracing::warn!("a line of a report makes no sense: {e}"),
            }
        }
        lines
    }

    /// Nothing more is expected.
    pub fn close(&mut self, watcher: &Watcher) {
        if let Some((wd, _)) = self.watch.take() {
            watcher.forget(wd);
        }
    }
}
