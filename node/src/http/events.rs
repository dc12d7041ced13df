//! `/v1/events`: what happened, and what happens.

use super::Query;
use crate::node::Node;
use api::Problem;
use api::event::Event;
use axum::Json;
use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::Stream;
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
}

/// What happened, oldest first.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(After), responses((status = 200, body = Vec<Event>),
    (status = 400, body = Problem, content_type = "application/problem+json")))]
async fn list(State(node): State<Arc<Node>>, Query(q): Query<After>) -> Result<Json<Vec<Event>>, Problem> {
    let after = u64::try_from(q.after)
        .map_err(|_| Problem { status: 400, ..Problem::invalid("after: 0 or more") })?;
    let most = q.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    Ok(Json(tokio::task::block_in_place(|| node.events.after(after, most))?))
}

/// What happens from now on, as server-sent events: `id` is the number, `event` the kind, `data` the event as JSON.
#[utoipa::path(get, path = "/v1/events/watch", tag = "events", responses(
    (status = 200, body = String, content_type = "text/event-stream")))]
async fn watch(State(node): State<Arc<Node>>) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let listening = node.events.listen();
    let stream = futures_util::stream::unfold(listening, |mut listening| async {
        loop {
            match listening.recv().await {
                Ok(event) => {
                    let data = serde_json::to_string(&event).unwrap_or_default();
                    let sent = sse::Event::default().id(event.seq.to_string()).event(event.kind).data(data);
                    return Some((Ok(sent), listening));
                }
                // It was too slow; the numbers show what it has missed.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
