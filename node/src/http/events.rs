//! `/v1/events`: what happened, and what happens.

use super::Query;
use crate::node::Node;
use api::Problem;
use api::event::Event;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Events of a page, unless told otherwise, and at the most.
const PAGE: (usize, usize) = (100, 1000);

pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(watch))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct After {
    /// Those after this number
    #[serde(default)]
    #[param(minimum = 0)]
    after: i64,
    /// At most so many
    limit: Option<usize>,
    /// Instead: so many of the newest
    #[param(minimum = 0)]
    last: Option<usize>,
    /// With `last`: only those of this kind, `instance.ready` say
    kind: Option<String>,
    /// With `last`: the newest of those before this number
    #[param(minimum = 0)]
    before: Option<i64>,
}

/// What happened, oldest first: what follows an event, or the newest.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(After), responses((status = 200, body = Vec<Event>),
    (status = 400, body = Problem, content_type = "application/problem+json")))]
async fn list(State(node): State<Arc<Node>>, Query(q): Query<After>) -> Result<Json<Vec<Event>>, Problem> {
    let after = u64::try_from(q.after)
        .map_err(|_| Problem { status: 400, ..Problem::invalid("after: 0 or more") })?;
    let before = u64::try_from(q.before.unwrap_or(i64::MAX))
        .map_err(|_| Problem { status: 400, ..Problem::invalid("before: 0 or more") })?;
    if let Some(last) = q.last {
        let newest = || newest(&node, before, last.min(PAGE.1), q.kind.as_deref());
        return Ok(Json(tokio::task::block_in_place(newest)?));
    }
    let most = q.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    Ok(Json(tokio::task::block_in_place(|| node.events.after(after, most))?))
}

/// The newest events before one, oldest first.
fn newest(node: &Node, before: u64, most: usize, kind: Option<&str>) -> Result<Vec<Event>, Problem> {
    node.events.flush();
    let before = before.min(node.store.last_event()? + 1);
    let mut span = most;
    loop {
        let after = before.saturating_sub(span as u64 + 1);
        let mut page = node.events.after(after, span)?;
        page.retain(|event| event.seq < before && kind.is_none_or(|kind| event.kind == kind));
        // Others lie between, and numbers have gaps where a daemon was killed: then it takes a longer span.
        if page.len() >= most || after == 0 {
            page.drain(..page.len().saturating_sub(most));
            return Ok(page);
        }
        span = span.saturating_mul(2);
    }
}

fn sent(event: Event) -> sse::Event {
    let data = serde_json::to_string(&event).unwrap_or_default();
    sse::Event::default().id(event.seq.to_string()).event(event.kind).data(data)
}

/// What happens from now on, as server-sent events: `id` is the number, `event` the kind, `data` the event as JSON.
///
/// With the header `Last-Event-ID`, which browsers send when they connect again, first what happened after that one, as
/// far as it is kept.
#[utoipa::path(get, path = "/v1/events/watch", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "Number of the last event that was seen")),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
async fn watch(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    let last_known = headers.get("last-event-id").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    // Before what happened is read: nothing falls between the two.
    let listening = node.events.listen();
    let mut missed = Vec::new();
    if let Some(mut last) = last_known {
        tokio::task::block_in_place(|| {
            while let page = node.events.after(last, PAGE.1)?
                && let Some(newest) = page.last()
            {
                last = newest.seq;
                missed.extend(page);
            }
            Ok::<(), Problem>(())
        })?;
    }
    let last = missed.last().map_or(0, |event| event.seq);
    let missed = futures_util::stream::iter(missed.into_iter().map(|event| Ok(sent(event))));
    let stream = futures_util::stream::unfold(listening, move |mut listening| async move {
        loop {
            match listening.recv().await {
                Ok(event) if event.seq <= last => {}
                Ok(event) => return Some((Ok(sent(event)), listening)),
                // It was too slow; the numbers show what it has missed.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Ok(Sse::new(missed.chain(stream)).keep_alive(KeepAlive::default()))
}
