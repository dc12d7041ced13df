//! What outlives the daemon, in SQLite (write-ahead log): what is wished for, what runs, how it came to be, what happened.
//! One connection; every call is short.

pub mod backup;
mod error;
#[cfg(test)]
mod former;
mod instances;
mod timelines;
pub mod tokens;
pub mod upkeep;

pub use error::Error;
pub use instances::{Row, Running};

use crate::network::Addresses;
use api::Problem;
use api::event::Event;
use api::flavor::Flavor;
use api::network::Network;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Each brings a store from the version of its place to the next.
const MIGRATIONS: [&str; 6] = ["
CREATE TABLE networks (name TEXT PRIMARY KEY, spec TEXT NOT NULL) STRICT;
CREATE TABLE flavors (name TEXT PRIMARY KEY, spec TEXT NOT NULL) STRICT;
CREATE TABLE images (name TEXT PRIMARY KEY, id TEXT NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE TABLE instances (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, instance TEXT NOT NULL, running TEXT,
    console TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE addresses (
    network TEXT NOT NULL, address TEXT NOT NULL, instance TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_of ON addresses (instance);
CREATE TABLE timelines (
    seq INTEGER PRIMARY KEY, instance TEXT NOT NULL, name TEXT NOT NULL, request TEXT NOT NULL,
    begun INTEGER NOT NULL, timeline TEXT NOT NULL
) STRICT;
CREATE INDEX timelines_of ON timelines (instance);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TABLE requests (key TEXT PRIMARY KEY, body TEXT NOT NULL, instance TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
", "
CREATE TABLE external (
    seq INTEGER PRIMARY KEY, instance TEXT NOT NULL, request TEXT NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL,
    start INTEGER NOT NULL, end INTEGER NOT NULL
) STRICT;
CREATE INDEX external_of ON external (instance, request);
", "
CREATE TABLE tokens (name TEXT PRIMARY KEY, role TEXT NOT NULL, digest TEXT NOT NULL UNIQUE) STRICT;
", "
ALTER TABLE instances ADD COLUMN desired TEXT;
", "
ALTER TABLE tokens ADD COLUMN expires INTEGER;
ALTER TABLE tokens ADD COLUMN used INTEGER;
", "
ALTER TABLE timelines ADD COLUMN traceparent TEXT;
"];

/// The store.
pub struct Store {
    connection: Mutex<Connection>,
    /// Networks that were read, by name: every start needs one.
    networks: Mutex<HashMap<String, Network>>,
    /// Addresses that instances have or are about to have, by network.
    taken: Mutex<HashMap<String, Addresses>>,
}

/// Tables whose rows are a name and what was said of it.
#[derive(Clone, Copy, Debug)]
pub enum Named {
    /// [`Network`]
    Networks,
    /// [`Flavor`]
    Flavors,
}

impl Named {
    fn table(self) -> &'static str {
        match self {
            Named::Networks => "networks",
            Named::Flavors => "flavors",
        }
    }
}

/// From a column that this module itself has written.
fn read<T: DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e)))
}

fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl Store {
    /// Opens the store in a folder, and brings it to this version.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|e| Problem::host(format!("{}: {e}", folder.display())))?;
        let file = folder.join("node.db");
        // It holds every configuration: nobody but the node's user reads it. SQLite gives its log the same mode.
        let private =
            std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
        private
            .and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)))
            .map_err(|e| Problem::host(format!("{}: {e}", file.display())))?;
        let mut connection = Connection::open(&file)?;
        // Nobody else may open it: that keeps a second daemon away, and spares locks.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // No write brings the log into the database: that takes milliseconds, and has a thread of its own.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > MIGRATIONS.len() {
            return Err(Problem::node(format!(
                "the store in {} is of version {version}, and this program knows {}",
                folder.display(),
                MIGRATIONS.len()
            ))
            .hint("start the newer program that made it")
            .into());
        }
        for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
            let transaction = connection.transaction()?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", index + 1)?;
            transaction.commit()?;
        }
        let taken = Mutex::new(instances::taken(&connection)?);
        Ok(Self { connection: Mutex::new(connection), networks: Mutex::default(), taken })
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        // A panic while it was locked has left no half transaction: those are undone when dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_networks(&self) -> MutexGuard<'_, HashMap<String, Network>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put<T: Serialize>(&self, table: Named, name: &str, value: &T) -> Result<bool, Error> {
        let sql = format!("INSERT OR IGNORE INTO {} (name, spec) VALUES (?, ?)", table.table());
        Ok(self.db().prepare_cached(&sql)?.execute(params![name, write(value)])? == 1)
    }

    fn all<T: DeserializeOwned>(&self, table: Named) -> Result<Vec<T>, Error> {
        let sql = format!("SELECT spec FROM {} ORDER BY name", table.table());
        let db = self.db();
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| read(&row.get::<_, String>(0)?))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn one<T: DeserializeOwned>(&self, table: Named, name: &str) -> Result<Option<T>, Error> {
        let sql = format!("SELECT spec FROM {} WHERE name = ?", table.table());
        let db = self.db();
        let mut statement = db.prepare_cached(&sql)?;
        Ok(statement.query_row([name], |row| read(&row.get::<_, String>(0)?)).optional()?)
    }

    /// Forgets a network or flavor; whether there was one.
    pub fn forget(&self, table: Named, name: &str) -> Result<bool, Error> {
        let sql = format!("DELETE FROM {} WHERE name = ?", table.table());
        // Locked for both: nobody reads it between the two.
        let mut read = self.read_networks();
        if matches!(table, Named::Networks) {
            read.remove(name);
        }
        Ok(self.db().prepare_cached(&sql)?.execute([name])? == 1)
    }

    /// Keeps a network; `false` if the name is taken.
    pub fn put_network(&self, network: &Network) -> Result<bool, Error> {
        self.put(Named::Networks, &network.name, network)
    }

    /// Changes a network that is there; what it is then. What `change` refuses is not kept.
    pub fn change_network(
        &self,
        name: &str,
        change: impl FnOnce(&mut Network) -> Result<(), Problem>,
    ) -> Result<Network, Error> {
        // Held until it is written: nobody reads what it was before into the map.
        let mut read = self.read_networks();
        let before: Option<Network> = self.one(Named::Networks, name)?;
        let mut network = before.ok_or_else(|| Problem::absent("network", name))?;
        change(&mut network)?;
        let sql = "UPDATE networks SET spec = ? WHERE name = ?";
        self.db().prepare_cached(sql)?.execute(params![write(&network), name])?;
        read.insert(name.to_owned(), network.clone());
        Ok(network)
    }

    /// All networks, by name.
    pub fn networks(&self) -> Result<Vec<Network>, Error> {
        self.all(Named::Networks)
    }

    /// A network.
    pub fn network(&self, name: &str) -> Result<Network, Error> {
        // Held until it is in the map: one that is forgotten meanwhile must not come back.
        let mut read = self.read_networks();
        if let Some(network) = read.get(name) {
            return Ok(network.clone());
        }
        let network: Network =
            self.one(Named::Networks, name)?.ok_or_else(|| Problem::absent("network", name))?;
        read.insert(name.to_owned(), network.clone());
        Ok(network)
    }

    /// Keeps a flavor; `false` if the name is taken.
    pub fn put_flavor(&self, flavor: &Flavor) -> Result<bool, Error> {
        self.put(Named::Flavors, &flavor.name, flavor)
    }

    /// All flavors, by name.
    pub fn flavors(&self) -> Result<Vec<Flavor>, Error> {
        self.all(Named::Flavors)
    }

    /// A flavor.
    pub fn flavor(&self, name: &str) -> Result<Flavor, Error> {
        self.one(Named::Flavors, name)?.ok_or_else(|| Problem::absent("flavor", name).into())
    }

    /// Keeps an imported image's name; `false` if it is taken.
    pub fn put_image(&self, name: &str, id: &str, size: u64) -> Result<bool, Error> {
        let sql = "INSERT OR IGNORE INTO images (name, id, size) VALUES (?, ?, ?)";
        Ok(self.db().prepare_cached(sql)?.execute(params![name, id, size as i64])? == 1)
    }

    /// Imported images: names and ids.
    pub fn images(&self) -> Result<Vec<(String, String)>, Error> {
        let db = self.db();
        let mut statement = db.prepare_cached("SELECT name, id FROM images ORDER BY name")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets an imported image; whether its bytes belong to no other name.
    pub fn forget_image(&self, name: &str) -> Result<Option<(String, bool)>, Error> {
        let db = self.db();
        let id: Option<String> =
            db.query_row("SELECT id FROM images WHERE name = ?", [name], |row| row.get(0)).optional()?;
        let Some(id) = id else { return Ok(None) };
        db.execute("DELETE FROM images WHERE name = ?", [name])?;
        let others: i64 =
            db.query_row("SELECT count(*) FROM images WHERE id = ?", [&id], |row| row.get(0))?;
        Ok(Some((id, others == 0)))
    }

    /// Writes down what happened; the oldest beyond `kept` go.
    pub fn add_events(&self, events: &[Event], kept: u64) -> Result<(), Error> {
        let mut db = self.db();
        let t = db.transaction()?;
        for e in events {
            let sql = "INSERT INTO events (seq, at, kind, subject, detail) VALUES (?, ?, ?, ?, ?)";
            let values = params![e.seq as i64, e.at_unix_ns as i64, e.kind, e.subject, e.detail.to_string()];
            t.prepare_cached(sql)?.execute(values)?;
            if e.seq.is_multiple_of(256) {
                let oldest = e.seq.saturating_sub(kept) as i64;
                t.prepare_cached("DELETE FROM events WHERE seq <= ?")?.execute([oldest])?;
            }
        }
        Ok(t.commit()?)
    }

    /// Forgets all events.
    #[cfg(test)]
    pub fn forget_events(&self) -> Result<(), Error> {
        self.db().execute_batch("DELETE FROM events; DELETE FROM sqlite_sequence")?;
        Ok(())
    }

    /// Number of the last event; 0 if nothing happened yet.
    pub fn last_event(&self) -> Result<u64, Error> {
        let last: i64 = self.db().query_row("SELECT coalesce(max(seq), 0) FROM events", [], |r| r.get(0))?;
        Ok(last as u64)
    }

    /// What happened after an event, oldest first, at most `most`.
    pub fn events(&self, after: u64, most: usize) -> Result<Vec<Event>, Error> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "SELECT seq, at, kind, subject, detail FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
        )?;
        let rows = statement.query_map(params![after as i64, most as i64], |row| {
            Ok(Event {
                seq: row.get::<_, i64>(0)? as u64,
                at_unix_ns: row.get::<_, i64>(1)? as u64,
                kind: row.get(2)?,
                subject: row.get(3)?,
                detail: read(&row.get::<_, String>(4)?)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A fact of the node's own: the switch's process, say.
    pub fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let sql = "SELECT value FROM facts WHERE name = ?";
        Ok(self.db().query_row(sql, [name], |row| read(&row.get::<_, String>(0)?)).optional()?)
    }

    /// Writes such a fact down.
    pub fn set_fact(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let sql = "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.db().execute(sql, params![name, write(value)])?;
        Ok(())
    }
}
