//! A guest's console into the FIFO that Nomad's logger reads. What was written is known by its place in the console, kept in a file
//! beside the FIFO, so that a plugin that was killed is followed by one that goes on where it stopped; and a plugin that was
//! replaced writes no more. Nobody waits for a reader that is not there.

use super::Task;
use crate::node::Fault;
use crate::proto::drivers::TaskConfig;
use api::instance::State;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::{OpenOptions, Sender};

/// How long the end of a task waits for its last words to be read.
pub const LAST: Duration = Duration::from_secs(2);
/// Between two tries to find a reader, or the node.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes by which the end of what was written is found again.
const TAIL: usize = 512;

/// Where in the console the next byte is, in a file.
struct Cursor {
    file: PathBuf,
    /// Who writes: the last who took it.
    writer: String,
    /// Which run of the monitor.
    run: u64,
    offset: u64,
}

fn file(config: &TaskConfig) -> PathBuf {
    PathBuf::from(format!("{}.place", config.stdout_path))
}

/// A task is gone for good.
pub async fn forget(config: &TaskConfig) {
    if !config.stdout_path.is_empty() {
        // Nomad may have removed the folder.
        let _ = tokio::fs::remove_file(file(config)).await;
    }
}

impl Cursor {
    /// Takes over where another plugin has left off.
    fn take(config: &TaskConfig) -> Self {
        let file = file(config);
        let writer = format!("{}-{}", std::process::id(), uuid::Uuid::now_v7());
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        let mut words = before.split(' ');
        // The place is one of this start's console only.
        let same = words.next() == Some(&config.id);
        let mut number = |_| words.next().filter(|_| same).and_then(|w| w.parse().ok()).unwrap_or(0);
        let (run, offset) = (number(0), number(1));
        let place = Self { file, writer, run, offset };
        place.save(&config.id);
        place
    }

    fn save(&self, id: &str) {
        let new = self.file.with_extension("place.new");
        let text = format!("{id} {} {} {}", self.run, self.offset, self.writer);
        // Without a place to keep it a killed plugin's successor says some lines twice.
        let _ = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &self.file));
    }

    /// Whether nobody has taken over.
    fn is_current_writer(&self) -> bool {
        std::fs::read_to_string(&self.file).is_ok_and(|text| text.ends_with(&self.writer))
    }
}

/// A FIFO whose reader comes and goes.
struct Fifo {
    path: PathBuf,
    sender: Option<Sender>,
}

impl Fifo {
    fn new(path: PathBuf) -> Self {
        Self { path, sender: None }
    }

    async fn open(&mut self) -> &mut Sender {
        loop {
            if self.sender.is_none() {
                // Without a reader this fails at once.
                self.sender = OpenOptions::new().open_sender(&self.path).ok();
            }
            match &mut self.sender {
                Some(_) => break,
                None => tokio::time::sleep(PAUSE).await,
            }
        }
        let Some(sender) = &mut self.sender else { unreachable!("it was just opened") };
        sender
    }

    async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.open().await.write(bytes).await {
                Ok(n) => bytes = &bytes[n..],
                // The reader is gone; another one comes.
                Err(_) => {
                    self.sender = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// What of a console's end is not written yet: what follows the end of what was.
fn rest<'a>(console: &'a [u8], written: &[u8]) -> &'a [u8] {
    let found = |from: usize| {
        let tail = &written[from..];
        (tail.len()..=console.len()).rev().find(|&end| console[..end].ends_with(tail))
    };
    match written.is_empty() {
        true => console,
        false => (0..written.len()).find_map(found).map_or(console, |end| &console[end..]),
    }
}

/// Carries a task's console until the task has ended.
pub async fn copy_console(task: Arc<Task>) {
    if task.config.stdout_path.is_empty() {
        return;
    }
    // Nomad's logger waits for a writer of both FIFOs, though a guest has one console, and it may be silent. They are closed with
    // this future, however that ends.
    let paths = [&task.config.stdout_path, &task.config.stderr_path].map(PathBuf::from);
    let mut fifos = paths.clone().map(Fifo::new);
    let [output, errors] = &mut fifos;
    let opened = async {
        let _writers = tokio::join!(output.open(), errors.open());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = opened => {}
        () = write(&task) => {}
    }
    // A guest that ended fast was followed for too short a time to find the logger.
    drop(paths.map(|path| OpenOptions::new().open_sender(path)));
}

async fn write(task: &Task) {
    let id = task.state.instance;
    let mut place = Cursor::take(&task.config);
    let mut fifo = Fifo::new(PathBuf::from(&task.config.stdout_path));
    let mut tail: Vec<u8> = Vec::new();
    loop {
        match task.node.console_from(id, place.offset).await {
            Ok(console) if console.run != place.run && place.offset > 0 => {
                // Another run, from its beginning.
                (place.run, place.offset) = (console.run, 0);
                tail.clear();
                continue;
            }
            Ok(mut console) => {
                place.run = console.run;
                if console.offset > place.offset {
                    let lost = console.offset - place.offset;
                    fifo.write(format!("\n[{lost} bytes of console output lost]\n").as_bytes()).await;
                    place.offset = console.offset;
                }
                while let Some(data) = console.next().await {
                    if !place.is_current_writer() {
                        return;
                    }
                    fifo.write(&data).await;
                    place.offset += data.len() as u64;
                    place.save(&task.config.id);
                    tail.extend_from_slice(&data);
                    tail.drain(..tail.len().saturating_sub(TAIL));
                }
            }
            Err(e) if e.is("absent") => return,
            Err(_) => {}
        }
        match task.instance().await {
            Ok(instance) if matches!(instance.state, State::Stopped | State::Failed) => break,
            Err(Fault::Refused(_)) => return,
            // It runs, or shall, or the node is away.
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    // A guest that ended fast has said all before anybody listened. A node that is away, or busy, is asked again.
    let console = loop {
        match task.node.console(id).await {
            Ok(console) => break console,
            Err(Fault::Refused(_)) => return,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    if place.is_current_writer() {
        let unseen = if tail.is_empty() && place.offset > 0 {
            // Another plugin wrote what came before, and how much.
            &console[console.len().min(usize::try_from(place.offset).unwrap_or(usize::MAX))..]
        } else {
            rest(&console, &tail)
        };
        fifo.write(unseen).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_follows_what_was() {
        assert_eq!(rest(b"abcdef", b"abc"), b"def");
        assert_eq!(rest(b"abcdef", b""), b"abcdef");
        assert_eq!(rest(b"abcabc", b"abc"), b"");
        // The console's beginning is no longer kept.
        assert_eq!(rest(b"cdef", b"abcd"), b"ef");
    }

    #[tokio::test]
    async fn a_fifo_is_written_when_a_reader_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let mut fifo = Fifo::new(path.clone());
        let writing = tokio::spawn(async move { fifo.write(b"hello").await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!writing.is_finished());
        let read = tokio::task::spawn_blocking(move || {
            use std::io::Read;
            let mut bytes = [0; 5];
            std::fs::File::open(&path).unwrap().read_exact(&mut bytes).unwrap();
            bytes
        });
        assert_eq!(&read.await.unwrap(), b"hello");
        writing.await.unwrap();
    }

    #[test]
    fn a_plugin_that_was_replaced_writes_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let config = TaskConfig {
            id: "a/b/c".into(),
            stdout_path: folder.path().join("fifo").display().to_string(),
            ..TaskConfig::default()
        };
        let mut first = Cursor::take(&config);
        (first.run, first.offset) = (7, 30);
        first.save(&config.id);
        let second = Cursor::take(&config);
        assert_eq!((second.run, second.offset), (7, 30));
        assert!(second.is_current_writer() && !first.is_current_writer());
        // Another start of the task has another console.
        let third = Cursor::take(&TaskConfig { id: "a/b/d".into(), ..config });
        assert_eq!((third.run, third.offset), (0, 0));
    }
}
