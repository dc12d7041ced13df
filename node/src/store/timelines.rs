//! How instances came to be.

use super::Error;
use super::{Store, read, write};
use api::Problem;
use api::timeline::{External, Timeline};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

/// Timelines that are kept, the newest.
const KEPT: i64 = 10_000;

fn timeline(r: &Row<'_>) -> rusqlite::Result<Timeline> {
    Ok(Timeline {
        instance: r.get::<_, String>(0)?.parse().unwrap_or_default(),
        name: r.get(1)?,
        request: r.get(2)?,
        begun_unix_ns: r.get::<_, i64>(3)? as u64,
        timeline: read(&r.get::<_, String>(4)?)?,
        external: read(&r.get::<_, String>(5)?)?,
        // Nobody but this module has written it.
        traceparent: r.get::<_, Option<String>>(6)?.and_then(|text| text.parse().ok()),
    })
}

/// Most phases of others.
const EXTERNAL: usize = 256;

/// The list is in JSON: what others have added.
const COLUMNS: &str = "instance, name, request, begun, timeline, (
    SELECT json_group_array(json_object('source', source, 'name', name, 'start_unix_ns', start, 'end_unix_ns', end))
    FROM (SELECT * FROM external e WHERE e.instance = t.instance AND e.request = t.request ORDER BY start, end DESC)),
    traceparent";

/// Forgets what is too old.
pub(super) fn purge(db: &Connection) -> Result<(), Error> {
    let old = "DELETE FROM timelines WHERE seq <= (SELECT max(seq) FROM timelines) - ?";
    db.prepare_cached(old)?.execute([KEPT])?;
    let gone = "DELETE FROM external WHERE request NOT IN (SELECT request FROM timelines)";
    db.prepare_cached(gone)?.execute([])?;
    Ok(())
}

impl Store {
    /// Keeps how an instance came to be; a later one of the same request takes its place.
    pub fn put_timeline(&self, t: &Timeline) -> Result<(), Error> {
        let db = self.db();
        let changed = db
            .prepare_cached("UPDATE timelines SET timeline = ? WHERE instance = ? AND request = ?")?
            .execute(params![write(&t.timeline), t.instance.to_string(), t.request])?;
        if changed == 0 {
            let sql = "INSERT INTO timelines (instance, name, request, begun, timeline, traceparent) VALUES (?, ?, ?, ?, ?, ?)";
            let values = params![
                t.instance.to_string(),
                t.name,
                t.request,
                t.begun_unix_ns as i64,
                write(&t.timeline),
                t.traceparent.map(|parent| parent.to_string())
            ];
            db.prepare_cached(sql)?.execute(values)?;
        }
        Ok(())
    }

    /// How an instance came to be the last time.
    pub fn timeline(&self, instance: Uuid) -> Result<Option<Timeline>, Error> {
        let db = self.db();
        let sql = format!("SELECT {COLUMNS} FROM timelines t WHERE instance = ? ORDER BY seq DESC LIMIT 1");
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query_map([instance.to_string()], timeline)?;
        Ok(rows.next().transpose()?)
    }

    /// The last timelines, newest first.
    pub fn timelines(&self, most: usize) -> Result<Vec<Timeline>, Error> {
        let db = self.db();
        let sql = format!("SELECT {COLUMNS} FROM timelines t ORDER BY seq DESC LIMIT ?");
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map([most as i64], timeline)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds phases of others to the last start of an instance, at most [`EXTERNAL`] in all.
    pub fn add_external(&self, instance: Uuid, phases: &[External]) -> Result<(), Error> {
        let Some(last) = self.timeline(instance)? else {
            return Err(Problem::conflict("the instance was never started").into());
        };
        if last.external.len() + phases.len() > EXTERNAL {
            return Err(Problem::invalid(format!("at most {EXTERNAL} external phases")).into());
        }
        let mut db = self.db();
        let t = db.transaction()?;
        for p in phases {
            let sql = "INSERT INTO external (instance, request, source, name, start, end) VALUES (?, ?, ?, ?, ?, ?)";
            let (start, end) = (p.start_unix_ns as i64, p.end_unix_ns as i64);
            let values = params![instance.to_string(), last.request, p.source, p.name, start, end];
            t.prepare_cached(sql)?.execute(values)?;
        }
        Ok(t.commit()?)
    }
}
