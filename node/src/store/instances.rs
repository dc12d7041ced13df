//! Instances, the addresses that they have, and the requests that they answer.

use super::Error;
use super::{Store, read, upkeep, write};
use crate::desired::Desired;
use crate::network::Addresses;
use api::Problem;
use api::flavor::Flavor;
use api::instance::{Device, Instance, InstanceSpec};
use api::trace_context::TraceParent;
use machine::timeline::{Phase, Tsc, unix_ns};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use uuid::Uuid;

/// An instance as it is kept.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it shall be.
    pub spec: InstanceSpec,
    /// What it shall become.
    pub desired: Desired,
    /// What it is.
    pub instance: Instance,
    /// Its monitor, if it has one.
    pub running: Option<Running>,
}

/// What is needed to find a monitor again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Its process number.
    pub pid: u32,
    /// When the process began, clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub began: u64,
    /// Id of the request that started it.
    pub request: String,
    /// When the request arrived, on the time stamp counter.
    pub begun: Tsc,
    /// The same, nanoseconds since 1970.
    pub begun_unix_ns: u64,
    /// The trace of that request, if it named one.
    #[serde(default)]
    pub traceparent: Option<TraceParent>,
    /// Phases that were over when the monitor was started.
    pub phases: Vec<(Phase, Tsc, Tsc)>,
    /// The flavor that it was started with, which may have been deleted since.
    #[serde(default)]
    pub flavor: Option<Flavor>,
    /// Whether it listens for the switch; false in rows of former versions, whose monitors connect to it.
    #[serde(default)]
    pub listens: bool,
    /// The boot of the host that it was started in (`random(4)`); empty in rows of former versions.
    #[serde(default)]
    pub boot: String,
}

/// Addresses that instances have, by network.
pub(super) fn taken(db: &Connection) -> Result<HashMap<String, Addresses>, Error> {
    let mut taken: HashMap<String, Addresses> = HashMap::new();
    let mut statement = db.prepare("SELECT network, address FROM addresses")?;
    let rows = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
    for row in rows {
        let (network, address) = row?;
        if let Ok(address) = address.parse() {
            taken.entry(network).or_default().insert(address);
        }
    }
    Ok(taken)
}

const COLUMNS: &str = "spec, instance, running, desired";

fn row(r: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let (running, desired): (Option<String>, Option<String>) = (r.get(2)?, r.get(3)?);
    let instance: Instance = read(&r.get::<_, String>(1)?)?;
    Ok(Row {
        spec: read(&r.get::<_, String>(0)?)?,
        desired: desired.map_or(Ok(Desired::of(instance.state)), |text| read(&text))?,
        instance,
        running: running.map(|text| read(&text)).transpose()?,
    })
}

/// An idempotency key was used before.
#[derive(Debug)]
pub struct KnownRequest {
    /// Digest of the body that it came with.
    pub body: String,
    /// The instance that was made.
    pub instance: Uuid,
}

impl Store {
    /// Keeps a new instance with its addresses, all or nothing; `false` if the name is taken.
    pub fn add_instance(
        &self,
        Row { spec, desired, instance, .. }: &Row,
        request: Option<(&str, &str)>,
    ) -> Result<bool, Error> {
        let mut db = self.db();
        let t = db.transaction()?;
        let id = instance.id.to_string();
        if let Some((key, _)) = request {
            // One that is older than it is remembered may still be there.
            let old = instance.created_unix_ns.saturating_sub(upkeep::KEY_NS) as i64;
            t.prepare_cached("DELETE FROM requests WHERE key = ? AND at < ?")?.execute(params![key, old])?;
        }
        if let Some((key, _)) = request
            && t.prepare_cached("SELECT 1 FROM requests WHERE key = ?")?.exists([key])?
        {
            // Before the name, which the first of the two has taken.
            return Err(Error::Repeated);
        }
        let added = t
            .prepare_cached(
                "INSERT OR IGNORE INTO instances (id, name, spec, instance, desired) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![id, instance.name, write(spec), write(instance), write(desired)])?;
        if added == 0 {
            return Ok(false);
        }
        let devices = instance.devices.iter();
        for (d, address) in devices.flat_map(|d| d.addresses().into_iter().map(move |a| (d, a))) {
            let added = t
                .prepare_cached(
                    "INSERT OR IGNORE INTO addresses (network, address, instance) VALUES (?, ?, ?)",
                )?
                .execute(params![d.network, address.to_string(), id])?;
            if added == 0 {
                return Err(Problem::conflict(format!(
                    "{address} on {} belongs to another instance",
                    d.network
                ))
                .into());
            }
        }
        if let Some((key, body)) = request {
            let added = t
                .prepare_cached(
                    "INSERT OR IGNORE INTO requests (key, body, instance, at) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![key, body, id, instance.created_unix_ns as i64])?;
            if added == 0 {
                return Err(Error::Repeated);
            }
        }
        t.commit()?;
        Ok(true)
    }

    /// What an idempotency key has led to.
    pub fn known_request(&self, key: &str) -> Result<Option<KnownRequest>, Error> {
        let db = self.db();
        let since = unix_ns().saturating_sub(upkeep::KEY_NS) as i64;
        let sql = "SELECT body, instance FROM requests WHERE key = ? AND at >= ?";
        let found =
            db.query_row(sql, params![key, since], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)));
        let Some((body, instance)) = found.optional()? else { return Ok(None) };
        let instance = instance.parse().map_err(|e| Problem::node(format!("the store: {e}")))?;
        Ok(Some(KnownRequest { body, instance }))
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, Addresses>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the addresses of a network that are taken, and may take one more: for an instance that is about to be added.
    pub fn take_address<T>(&self, network: &str, take: impl FnOnce(&mut Addresses) -> T) -> T {
        take(self.taken().entry(network.to_owned()).or_default())
    }

    /// The addresses of an instance that was not added, or was removed, are free again.
    pub fn release_addresses(&self, devices: &[Device]) {
        let mut taken = self.taken();
        for device in devices {
            if let Some(addresses) = taken.get_mut(&device.network) {
                device.addresses().into_iter().for_each(|address| addresses.remove(address));
            }
        }
    }

    /// Writes down what became of an instance, its monitor, and what it shall be.
    pub fn update(
        &self,
        instance: &Instance,
        running: Option<&Running>,
        desired: &Desired,
    ) -> Result<(), Error> {
        let sql = "UPDATE instances SET instance = ?, running = ?, desired = ? WHERE id = ?";
        let values = params![write(instance), running.map(write), write(desired), instance.id.to_string()];
        self.db().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Keeps the last words of an instance that ended.
    pub fn set_console(&self, id: Uuid, console: &str) -> Result<(), Error> {
        let sql = "UPDATE instances SET console = ? WHERE id = ?";
        self.db().prepare_cached(sql)?.execute(params![console, id.to_string()])?;
        Ok(())
    }

    /// The last words of an instance's last run.
    pub fn console(&self, id: Uuid) -> Result<String, Error> {
        let sql = "SELECT console FROM instances WHERE id = ?";
        Ok(self.db().prepare_cached(sql)?.query_row([id.to_string()], |r| r.get(0))?)
    }

    /// Writes down what an instance shall be from now on, before anything is done for it.
    pub fn intend(&self, id: Uuid, spec: &InstanceSpec, desired: &Desired) -> Result<(), Error> {
        let sql = "UPDATE instances SET spec = ?, desired = ? WHERE id = ?";
        let values = params![write(spec), write(desired), id.to_string()];
        self.db().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Writes down what of an instance was changed.
    pub fn change(&self, spec: &InstanceSpec, instance: &Instance, desired: &Desired) -> Result<(), Error> {
        let sql = "UPDATE instances SET spec = ?, instance = ?, desired = ? WHERE id = ?";
        let values = params![write(spec), write(instance), write(desired), instance.id.to_string()];
        self.db().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// All instances, in the order of creation.
    pub fn instances(&self) -> Result<Vec<Row>, Error> {
        let db = self.db();
        let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM instances ORDER BY id"))?;
        let rows = statement.query_map([], row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Instances after an id, in the order of creation, at most `most`.
    pub fn page(&self, after: &str, most: usize) -> Result<Vec<Instance>, Error> {
        let db = self.db();
        let mut statement =
            db.prepare_cached("SELECT instance FROM instances WHERE id > ? ORDER BY id LIMIT ?")?;
        let rows = statement.query_map(params![after, most as i64], |r| read(&r.get::<_, String>(0)?))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// An instance by its name or id.
    pub fn instance(&self, name: &str) -> Result<Row, Error> {
        let sql = format!("SELECT {COLUMNS} FROM instances WHERE name = ?1 OR id = ?1");
        let found = self.db().prepare_cached(&sql)?.query_row([name], row).optional()?;
        found.ok_or_else(|| Problem::absent("instance", name).into())
    }

    /// Forgets an instance; its addresses are free again.
    pub fn remove_instance(&self, instance: &Instance) -> Result<(), Error> {
        let sql = "DELETE FROM instances WHERE id = ?";
        self.db().prepare_cached(sql)?.execute([instance.id.to_string()])?;
        self.release_addresses(&instance.devices);
        Ok(())
    }
}
