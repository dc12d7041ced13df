//! `microvisor events`: what happened on the node.

use super::context;
use crate::output::{self, Failure};
use api::event::Event;
use machine::timeline::unix_ns;
use std::time::Duration;

/// Most events of a page of the API.
const PAGE: usize = 1000;

fn show(event: &Event, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(event);
    }
    let ago = Duration::from_nanos(unix_ns().saturating_sub(event.at_unix_ns)).as_secs_f64();
    let detail = if event.detail.is_null() { String::new() } else { event.detail.to_string() };
    let Event { seq, kind, subject, .. } = event;
    output::print(format!("{seq:>6}  {ago:>10.3} s ago  {kind:<20} {subject} {detail}\n"))
}

/// `microvisor events`
pub fn events(follow: bool, json: bool) -> Result<(), Failure> {
    let client = context::required()?;
    if follow {
        let mut shown = Ok(());
        client.follow("/v1/events/watch", |data| {
            if let Ok(event) = serde_json::from_str(data) {
                shown = show(&event, json);
            }
            shown.is_ok()
        })?;
        return shown;
    }
    let mut after = 0;
    loop {
        let page: Vec<Event> = client.get(&format!("/v1/events?limit={PAGE}&after={after}"))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        page.iter().try_for_each(|event| show(event, json))?;
    }
}
