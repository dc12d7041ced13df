//! What can be asked of an instance that runs: its console, its handlers, another configuration.

use super::{Body, Query};
use crate::instance::{Handle, control, plan};
use crate::node::Node;
use crate::process::usage;
use api::Problem;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response as HttpResponse};
use machine::control::{Request, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(console, type_in))
        .routes(routes!(read, write))
        .routes(routes!(configure))
        .routes(routes!(inspect))
}

/// Header with the number of bytes of a run that were written before the first of an answer.
const OFFSET: HeaderName = HeaderName::from_static("x-console-offset");
/// Header with the run that a console is of: its monitor's process number.
const RUN: HeaderName = HeaderName::from_static("x-console-run");

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ConsoleQuery {
    /// Go on with what is written from now on, until the run ends
    #[serde(default)]
    follow: bool,
    /// With `follow`: so many bytes of this run were seen before
    #[serde(default)]
    #[param(minimum = 0)]
    from: i64,
}

/// The last of an instance's console, 64 KiB at the most: of this run, or of the last.
///
/// With `follow`, the header `X-Console-Offset` is the number of bytes of the run before the first that comes, and
/// `X-Console-Run` the process of its monitor.
#[utoipa::path(get, path = "/v1/instances/{name}/console", tag = "running",
    params(("name" = String, Path, description = "Name or id"), ConsoleQuery),
    responses((status = 200, body = String, content_type = "text/plain"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 502, body = Problem, content_type = "application/problem+json")))]
async fn console(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(how): Query<ConsoleQuery>,
) -> Result<HttpResponse, Problem> {
    let handle = node.instance(&name)?;
    if !how.follow {
        return Ok(last(&node, &handle).await?.into_response());
    }
    let from = u64::try_from(how.from)
        .map_err(|_| Problem { status: 400, ..Problem::invalid("from: 0 or more") })?;
    let run = handle
        .view
        .borrow()
        .pid
        .ok_or_else(|| Problem::conflict("the instance is not running").hint("start it"))?;
    let following = control::follow(&handle.socket, from).await?;
    let headers = [(OFFSET, following.offset.to_string()), (RUN, run.to_string())];
    let stream = futures_util::stream::unfold(following, |mut following| async {
        following.next().await.map(|bytes| (Ok::<_, std::convert::Infallible>(bytes), following))
    });
    let kind = [(axum::http::header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, kind, axum::body::Body::from_stream(stream)).into_response())
}

async fn last(node: &Node, handle: &Handle) -> Result<String, Problem> {
    if handle.view.borrow().state.runs()
        && let Ok(text) = control::console(&handle.socket).await
    {
        return Ok(text);
    }
    Ok(node.store.console(handle.id)?)
}

/// What is typed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Typed {
    /// Bytes for the guest, 4096 at the most; a line ends with a line feed.
    #[schema(max_length = 4096)]
    input: String,
}

/// Most bytes that are typed at once.
const TYPED: usize = 4096;

/// Type into the console of an instance that runs. What the guest says to it appears on its console.
#[utoipa::path(post, path = "/v1/instances/{name}/console", tag = "running",
    params(("name" = String, Path, description = "Name or id")), request_body = Typed, responses(
    (status = 204, description = "The monitor has it"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 502, body = Problem, content_type = "application/problem+json")))]
async fn type_in(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Body(typed): Body<Typed>,
) -> Result<StatusCode, Problem> {
    if typed.input.len() > TYPED {
        return Err(Problem::invalid(format!("input: at most {TYPED} bytes at once")));
    }
    control::type_in(&node.instance(&name)?.socket, typed.input.as_bytes()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A handler's value.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Value {
    /// The value.
    value: String,
}

fn value(response: Response) -> Result<Json<Value>, Problem> {
    match response {
        Response::Done { value } => Ok(Json(Value { value })),
        _ => Err(Problem::node("the monitor sent an unexpected answer")),
    }
}

/// Read a handler, `ELEMENT.HANDLER`.
#[utoipa::path(get, path = "/v1/instances/{name}/handlers/{handler}", tag = "running",
    params(("name" = String, Path, description = "Name or id"), ("handler" = String, Path, description = "ELEMENT.HANDLER")),
    responses((status = 200, body = Value),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn read(
    State(node): State<Arc<Node>>,
    Path((name, handler)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let socket = node.instance(&name)?.socket;
    value(control::call(socket, Request::Read { handler }).await?)
}

/// Write a handler.
#[utoipa::path(put, path = "/v1/instances/{name}/handlers/{handler}", tag = "running",
    params(("name" = String, Path, description = "Name or id"), ("handler" = String, Path, description = "ELEMENT.HANDLER")),
    request_body = Value, responses((status = 200, body = Value),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn write(
    State(node): State<Arc<Node>>,
    Path((name, handler)): Path<(String, String)>,
    Body(new): Body<Value>,
) -> Result<Json<Value>, Problem> {
    let socket = node.instance(&name)?.socket;
    value(control::call(socket, Request::Write { handler, value: new.value }).await?)
}

/// Another configuration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Configuration {
    /// Its text.
    config: String,
}

/// Run another configuration from now on, without a packet lost; the next start takes it as well.
#[utoipa::path(put, path = "/v1/instances/{name}/config", tag = "running",
    params(("name" = String, Path, description = "Name or id")), request_body = Configuration,
    responses((status = 204, description = "It runs"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn configure(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Body(new): Body<Configuration>,
) -> Result<StatusCode, Problem> {
    let handle = node.instance(&name)?;
    let row = node.store.instance(&handle.id.to_string())?;
    if node.images.find(&row.spec.image)?.image.config_format == "click" {
        plan::check_config(&node, &new.config, &row.spec)?;
    }
    handle.configure(new.config).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the monitor of a running instance knows of it (memory, counters of its devices), and what it uses (`usage`: processor time,
/// memory that is there).
#[utoipa::path(get, path = "/v1/instances/{name}/inspect", tag = "running",
    params(("name" = String, Path, description = "Name or id")),
    responses((status = 200, body = Object),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn inspect(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    let socket = node.instance(&name)?.socket;
    match control::call(socket, Request::Inspect).await? {
        Response::Instance(i) => {
            let usage = usage::of(i.pid);
            let mut inspected = serde_json::to_value(i).unwrap_or_default();
            inspected["usage"] = serde_json::to_value(usage).unwrap_or_default();
            Ok(Json(inspected))
        }
        _ => Err(Problem::node("the monitor sent an unexpected answer")),
    }
}
