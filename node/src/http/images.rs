//! `/v1/images`: guest images.

use super::{Query, created};
use crate::node::Node;
use api::Problem;
use api::image::{Image, LONGEST};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Arc<Node>> {
    let import = OpenApiRouter::new().routes(routes!(import)).layer(DefaultBodyLimit::max(LONGEST));
    import.routes(routes!(list)).routes(routes!(show, delete))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Import {
    /// The image's name
    name: String,
    /// Where the node shall fetch it from, http or https, instead of from the body
    url: Option<String>,
    /// The SHA-256 that it must have, in hexadecimal
    id: Option<String>,
}

/// Import an image: the body is the file, or `url` says where it is. It is checked, and kept under its digest.
#[utoipa::path(post, path = "/v1/images", tag = "images", params(Import),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 201, body = Image),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 502, body = Problem, content_type = "application/problem+json"),
    (status = 507, body = Problem, content_type = "application/problem+json")))]
async fn import(
    State(node): State<Arc<Node>>,
    Query(how): Query<Import>,
    request: Request,
) -> Result<Response, Problem> {
    let read = tokio::time::timeout(UPLOAD, Bytes::from_request(request, &())).await;
    let late = || Problem { status: 408, ..Problem::invalid("the image did not come in time") };
    let bytes = read.map_err(|_| late())?.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem { status: 413, ..Problem::invalid(too_long()) },
        status => Problem { status: status.as_u16(), ..Problem::invalid(e.body_text()) },
    })?;
    let image = tokio::task::block_in_place(|| {
        let bytes = match &how.url {
            Some(url) => fetch(url)?,
            None => bytes.into(),
        };
        node.images.import(&how.name, &bytes, how.id.as_deref())
    })?;
    node.events.emit("image.imported", &image.name, serde_json::json!({ "id": image.id }));
    Ok(created(image))
}

/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(300);
/// How long its server may take to be found and to accept the connection, and to begin its answer.
const FETCH_CONNECT: Duration = Duration::from_secs(5);
const FETCH_ANSWER: Duration = Duration::from_secs(15);
/// How long an image may take that comes as a body.
const UPLOAD: Duration = Duration::from_secs(300);

fn too_long() -> String {
    format!("an image has at most {} MiB", LONGEST >> 20)
}

/// Fetches a file.
fn fetch(url: &str) -> Result<Vec<u8>, Problem> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Problem::invalid("a URL begins with http:// or https://"));
    }
    let failed = |e: ureq::Error| match e {
        ureq::Error::BodyExceedsLimit(_) => Problem::invalid(format!("{url}: {}", too_long())),
        e => Problem::failed(format!("{url}: {e}")),
    };
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH))
        .timeout_resolve(Some(FETCH_CONNECT))
        .timeout_connect(Some(FETCH_CONNECT))
        .timeout_recv_response(Some(FETCH_ANSWER))
        .build()
        .new_agent();
    let mut response = agent.get(url).call().map_err(failed)?;
    response.body_mut().with_config().limit(LONGEST as u64).read_to_vec().map_err(failed)
}

/// List images.
#[utoipa::path(get, path = "/v1/images", tag = "images", responses((status = 200, body = Vec<Image>)))]
async fn list(State(node): State<Arc<Node>>) -> Result<Json<Vec<Image>>, Problem> {
    Ok(Json(node.images.all()?))
}

/// Look at an image.
#[utoipa::path(get, path = "/v1/images/{name}", tag = "images", params(("name" = String, Path, description = "Name or id")), responses(
    (status = 200, body = Image), (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn show(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Json<Image>, Problem> {
    Ok(Json(node.images.find(&name)?.image))
}

/// Delete an imported image. Instances that run go on.
#[utoipa::path(delete, path = "/v1/images/{name}", tag = "images", params(("name" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    node.images.remove(&name)?;
    Ok(StatusCode::NO_CONTENT)
}
