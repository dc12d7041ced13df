//! Timelines: how instances came to be, one by one and together.

use super::{Body, Query};
use crate::node::Node;
use api::Problem;
use api::timeline::{External, Statistics, Timeline};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use machine::timeline::Span;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Timelines that are looked at, unless told otherwise, and at the most.
const LAST: (usize, usize) = (100, 10_000);

/// The paths of this resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(add))
        .routes(routes!(list))
        .routes(routes!(statistics))
}

/// How an instance came to be, the last time.
#[utoipa::path(get, path = "/v1/instances/{name}/timeline", tag = "timelines",
    params(("name" = String, Path, description = "Name or id")), responses((status = 200, body = Timeline),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn show(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Json<Timeline>, Problem> {
    Ok(Json(node.instance(&name)?.timeline().await?))
}

/// Longest name of a phase or of who says it.
const NAME: usize = 64;

/// Add phases of others to how an instance came to be the last time: an orchestrator's, say.
#[utoipa::path(post, path = "/v1/instances/{name}/timeline/phases", tag = "timelines",
    params(("name" = String, Path, description = "Name or id")), request_body = Vec<External>,
    responses((status = 204, description = "They are there"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn add(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Body(phases): Body<Vec<External>>,
) -> Result<StatusCode, Problem> {
    let handle = node.instance(&name)?;
    let is_name = |text: &str| !text.is_empty() && text.len() <= NAME && !text.contains(char::is_control);
    for p in &phases {
        if !is_name(&p.source) || !is_name(&p.name) {
            return Err(Problem::invalid(format!("names of a phase and its source have 1 to {NAME} bytes")));
        }
        if p.end_unix_ns < p.start_unix_ns || p.end_unix_ns > i64::MAX as u64 {
            return Err(Problem::invalid(format!("{}: a phase ends after it began", p.name)));
        }
    }
    // The answer that it is ready may be ahead of its timeline: its task knows.
    handle.timeline().await?;
    node.store.add_external(handle.id, &phases)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Last {
    /// So many, the newest
    last: Option<usize>,
}

impl Last {
    fn count(&self) -> usize {
        self.last.unwrap_or(LAST.0).clamp(1, LAST.1)
    }
}

/// The last timelines, newest first.
#[utoipa::path(get, path = "/v1/timelines", tag = "timelines", params(Last), responses((status = 200, body = Vec<Timeline>),
    (status = 400, body = Problem, content_type = "application/problem+json")))]
async fn list(State(node): State<Arc<Node>>, Query(q): Query<Last>) -> Result<Json<Vec<Timeline>>, Problem> {
    node.written().await;
    Ok(Json(node.store.timelines(q.count())?))
}

fn collect(spans: &[Span], into: &mut Vec<(&'static str, u64)>) {
    for span in spans {
        into.push((span.phase.name(), span.length_ns()));
        collect(&span.inside, into);
    }
}

/// How long phases take, over the last timelines.
#[utoipa::path(get, path = "/v1/timelines/statistics", tag = "timelines", params(Last), responses(
    (status = 200, body = Vec<Statistics>),
    (status = 400, body = Problem, content_type = "application/problem+json")))]
async fn statistics(
    State(node): State<Arc<Node>>,
    Query(q): Query<Last>,
) -> Result<Json<Vec<Statistics>>, Problem> {
    node.written().await;
    let timelines = node.store.timelines(q.count())?;
    let mut order: Vec<&'static str> = Vec::new();
    let mut lengths: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for t in &timelines {
        let mut all = Vec::new();
        collect(&t.timeline.spans, &mut all);
        let ready = t.timeline.spans.iter().find(|s| s.phase == machine::timeline::Phase::Ready);
        all.extend(ready.map(|s| ("total", s.end_ns)));
        for (phase, length) in all {
            if !order.contains(&phase) {
                order.push(phase);
            }
            lengths.entry(phase).or_default().push(length);
        }
    }
    let row = |phase: &'static str| {
        let mut sorted = lengths.remove(phase).unwrap_or_default();
        sorted.sort_unstable();
        let at =
            |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Statistics {
            phase: phase.into(),
            count: sorted.len(),
            p50_ns: at(50).unwrap_or(0),
            p90_ns: at(90).unwrap_or(0),
            p99_ns: at(99).unwrap_or(0),
        }
    };
    Ok(Json(order.into_iter().map(row).collect()))
}
