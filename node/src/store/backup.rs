//! A copy of the store in one file, with the imported images in it, made while the node runs; and a store made from such a copy.

use super::{Error, MIGRATIONS, Store};
use crate::images::digest;
use api::Problem;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pages of the store that are copied at a time; nobody writes meanwhile, so all at once.
const PAGES: i32 = i32::MAX;
/// The table of images in a copy; the store itself keeps them as files.
const IMAGES: &str = "CREATE TABLE image_files (id TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT";

fn at(path: &Path) -> impl Fn(std::io::Error) -> Problem + '_ {
    move |e| Problem::host(format!("{}: {e}", path.display()))
}

impl Store {
    /// Writes a copy to a new file: everything as it is at one moment, with the files of images from a folder.
    pub fn back_up(&self, images: &Path, to: &Path) -> Result<(), Error> {
        let mut copy = Connection::open(to)?;
        {
            let db = self.db();
            Backup::new(&db, &mut copy)?.run_to_completion(PAGES, Duration::ZERO, None)?;
        }
        copy.execute_batch(IMAGES)?;
        for id in imported(&copy)? {
            let path = images.join(&id);
            let bytes = std::fs::read(&path).map_err(at(&path))?;
            copy.execute("INSERT INTO image_files (id, bytes) VALUES (?, ?)", params![id, bytes])?;
        }
        // One file, without a log beside it.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        Ok(())
    }
}

fn imported(db: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = db.prepare("SELECT DISTINCT id FROM images")?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Makes the store of a folder from a copy. A store that is there already is refused.
pub fn restore(from: &Path, state: &Path) -> Result<(), Problem> {
    let store = state.join("node.db");
    // A log of another store would be taken for this one's.
    for name in ["node.db", "node.db-wal", "node.db-shm"] {
        let there = state.join(name);
        if there.exists() {
            return Err(Problem::conflict(format!("{} is there already", there.display()))
                .hint("move the store's files away, or restore to another folder: --state"));
        }
    }
    let draft = state.join("node.db.restored");
    let outcome = restore_to(from, state, &draft)
        .and_then(|()| std::fs::rename(&draft, &store).map_err(|e| at(&store)(e).into()));
    if outcome.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    Ok(outcome?)
}

fn restore_to(from: &Path, state: &Path, draft: &Path) -> Result<(), Error> {
    let refused = |why: String| Error::from(Problem::invalid(format!("{}: {why}", from.display())));
    std::fs::metadata(from).map_err(at(from))?;
    let copy = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let check: Result<String, _> = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    match check {
        Ok(word) if word == "ok" => {}
        Ok(word) => return Err(refused(format!("it is damaged: {word}"))),
        Err(e) => return Err(refused(format!("it is not a backup: {e}"))),
    }
    let version: usize = copy.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 || version > MIGRATIONS.len() {
        return Err(refused(format!(
            "it is of version {version}, and this program knows 1 to {}",
            MIGRATIONS.len()
        )));
    }
    let images: PathBuf = state.join("images");
    std::fs::create_dir_all(&images).map_err(at(&images))?;
    let mut files = copy
        .prepare("SELECT id, bytes FROM image_files")
        .map_err(|_| refused("it is not a backup".into()))?;
    let mut rows = files.query([])?;
    while let Some(row) = rows.next()? {
        let (id, bytes): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        // Its name is its digest: anything else does not become a path.
        if digest(&bytes) != id {
            return Err(refused(format!("the image {id} is not what its name says")));
        }
        let path = images.join(&id);
        std::fs::write(&path, bytes).map_err(at(&path))?;
    }
    drop(rows);
    drop(files);
    // It holds every configuration: nobody but the node's user reads it.
    std::fs::copy(from, draft).map_err(at(draft))?;
    let restored = Connection::open(draft)?;
    // The switch of then is none here.
    restored.execute_batch("DROP TABLE image_files; DELETE FROM facts WHERE name = 'switch'; VACUUM")?;
    restored.close().map_err(|(_, e)| e)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Named;
    use api::network::Network;

    fn network(name: &str) -> Network {
        serde_json::from_value(serde_json::json!({ "name": name, "subnet": "10.0.0.0/24" })).unwrap()
    }

    #[test]
    fn copy_is_of_one_moment_and_becomes_a_store_with_its_images() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(from.path()).unwrap();
        let images = from.path().join("images");
        std::fs::create_dir(&images).unwrap();
        let id = digest(b"an image");
        std::fs::write(images.join(&id), "an image").unwrap();
        store.put_image("mine", &id, 8).unwrap();
        store.put_network(&network("blue")).unwrap();
        let copy = from.path().join("copy");
        // Somebody writes all the while.
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                for n in 0..200 {
                    store.put_network(&network(&format!("n{n}"))).unwrap();
                    store.forget(Named::Networks, &format!("n{n}")).unwrap();
                }
            });
            store.back_up(&images, &copy).unwrap();
            writing.join().unwrap();
        });
        restore(&copy, to.path()).unwrap();
        let restored = Store::open(to.path()).unwrap();
        let networks = restored.networks().unwrap();
        assert!(networks.iter().any(|n| n.name == "blue") && networks.len() <= 2, "{networks:?}");
        assert_eq!(restored.images().unwrap(), [("mine".to_owned(), id.clone())]);
        assert_eq!(std::fs::read(to.path().join("images").join(id)).unwrap(), b"an image");
        drop(restored);
        assert!(restore(&copy, to.path()).unwrap_err().detail.contains("is there already"));
        std::fs::rename(to.path().join("node.db"), to.path().join("old")).unwrap();
        std::fs::write(to.path().join("node.db-wal"), "of the old one").unwrap();
        assert!(restore(&copy, to.path()).unwrap_err().detail.contains("is there already"));
    }

    #[test]
    fn what_is_no_backup_makes_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let (file, state) = (folder.path().join("file"), folder.path().join("state"));
        for (text, why) in [("hello".repeat(1000), "not a backup"), (String::new(), "version 0")] {
            std::fs::write(&file, text).unwrap();
            let problem = restore(&file, &state).unwrap_err();
            assert!(problem.detail.contains(why), "{problem}");
            assert!(!state.join("node.db").exists() && !state.join("node.db.restored").exists());
        }
        assert!(restore(&folder.path().join("nothing"), &state).is_err());
    }
}
