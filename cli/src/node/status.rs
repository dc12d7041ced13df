//! `microvisor status`: how the node is.

use super::context;
use crate::instance::up_words;
use crate::output::{self, Failure};
use api::status::{PreparedGuests, Status};
use machine::timeline::unix_ns;
use std::time::Duration;

fn text(s: &Status) -> String {
    let up = up_words(Duration::from_nanos(unix_ns().saturating_sub(s.started_unix_ns)));
    let instances: Vec<String> =
        s.instances.iter().map(|(state, number)| format!("{number} {state}")).collect();
    let instances = if instances.is_empty() { "none".into() } else { instances.join(", ") };
    let switch = match s.switch {
        Some(pid) => format!("process {pid}, started again {} times", s.switch_restarts),
        None => "does not run".into(),
    };
    let shape = |g: &PreparedGuests| {
        let PreparedGuests { image, memory_mib, devices, ready, target, hits, misses, refills, .. } = g;
        let resident = g.resident >> 20;
        format!(
            "\n           {ready} of {target} of {image}, {memory_mib} MiB, devices: {devices}; taken by {hits} starts, missed by \
             {misses}; {refills} prepared; {resident} MiB resident"
        )
    };
    let shapes: String = s.prepared_guests.iter().map(shape).collect();
    let host = &s.host;
    format!(
        "node       version {}, process {}, up {up}\n\
         instances  {instances}\n\
         switch     {switch}\n\
         prepared   {} of {} guests{shapes}\n\
         host       {} processors, {} of {} MiB available, up {}\n",
        s.version,
        s.pid,
        s.prepared,
        s.prepared_target,
        host.cpus,
        host.available_mib,
        host.memory_mib,
        up_words(Duration::from_secs(host.uptime_s)),
    )
}

/// `microvisor status`
pub fn status(json: bool) -> Result<(), Failure> {
    let status: Status = context::required()?.get("/v1/status")?;
    if json { output::json(&status) } else { output::print(text(&status)) }
}
