//! The HTTP side: `/v1`, JSON, problems by RFC 9457, OpenAPI 3.1 made from this code. Each file has the paths of one resource.

pub mod access;
pub mod backup;
mod configurations;
mod elements;
mod events;
mod flavors;
mod images;
pub mod instances;
mod metrics;
mod networks;
mod page;
mod running;
mod serve;
mod switch;
pub mod timelines;
mod usage;

pub use serve::{LOCAL, REMOTE, serve};

use crate::audit::Entry;
use crate::instance::RequestTrace;
use crate::node::Node;
use api::Problem;
use api::status::Status;
use api::trace_context;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use machine::timeline::{Phase, Tsc, unix_ns};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, PathItem, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// The header that ties a request to what comes of it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest body except for images, bytes: a configuration of 4 MiB, escaped.
const BODY: usize = 16 << 20;
/// How long such a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);

#[derive(OpenApi)]
#[openapi(
    info(title = "MicroVisor node", description = "Instances on demand, every phase timed."),
    components(schemas(Problem))
)]
struct Document;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// User, on the Unix socket.
    pub uid: Option<u32>,
    /// Address, over TCP.
    pub address: Option<SocketAddr>,
}

impl Peer {
    /// Somebody over TCP.
    pub fn remote(address: SocketAddr) -> Self {
        Self { uid: None, address: Some(address) }
    }

    /// A user of this host. One whom the kernel does not name was still let in by the socket's permissions.
    pub fn local(stream: &UnixStream) -> Self {
        Self { uid: Some(stream.peer_cred().map_or(u32::MAX, |c| c.uid())), address: None }
    }
}

/// The API's description, OpenAPI 3.1.
pub fn document() -> String {
    paths().into_openapi().to_pretty_json().unwrap_or_default()
}

fn paths() -> OpenApiRouter<Arc<Node>> {
    let mut paths = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status))
        .merge(instances::router())
        .merge(running::router())
        .merge(timelines::router())
        .merge(networks::router())
        .merge(flavors::router())
        .merge(images::router())
        .merge(events::router())
        .merge(switch::router())
        .merge(access::router())
        .merge(configurations::router())
        .merge(backup::router())
        .merge(elements::router())
        .merge(usage::router())
        .routes(routes!(metrics::metrics));
    describe_refusals(paths.get_openapi_mut());
    describe_tokens(paths.get_openapi_mut());
    paths
}

/// On the Unix socket no token is needed, over TCP one is.
fn describe_tokens(document: &mut utoipa::openapi::OpenApi) {
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("token", bearer);
    let token = SecurityRequirement::new("token", [""; 0]);
    document.security = Some(vec![SecurityRequirement::default(), token]);
}

/// What any request may get before it reaches its resource.
fn describe_refusals(document: &mut utoipa::openapi::OpenApi) {
    let problem = |why: &str| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        ResponseBuilder::new().description(why).content("application/problem+json", content).build()
    };
    for item in document.paths.paths.values_mut() {
        let PathItem { get, put, post, patch, delete, .. } = item;
        for operation in [get, put, post, patch, delete].into_iter().flatten() {
            // Functions of several resources have one name.
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            operation.operation_id = operation.operation_id.take().map(|name| format!("{tag}-{name}"));
            let answers = &mut operation.responses.responses;
            let mut may = |status: &str, why| {
                answers.entry(status.into()).or_insert_with(|| RefOr::T(problem(why)));
            };
            may("401", "Over TCP: no token, or one that is unknown or has expired");
            may("403", "Over TCP: the token's role does not suffice");
            if operation.request_body.is_some() {
                may("400", "The body is not JSON");
                may("408", "The body did not come in time");
                may("413", "The body is too long");
            }
        }
    }
}

/// Everything that is served.
pub fn router(node: Arc<Node>) -> Router {
    let (router, document) = paths().split_for_parts();
    let document = Arc::new(document.to_pretty_json().unwrap_or_default());
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    router
        .route("/v1/openapi.json", axum::routing::get(move || async move { (json, document.to_string()) }))
        .merge(page::router())
        .fallback(|| async { Problem::absent("path", "that") })
        .method_not_allowed_fallback(|| async {
            Problem { status: 405, ..Problem::invalid("this path has no such method") }
        })
        .layer(axum::extract::DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(node.clone(), access::admit))
        .layer(from_fn_with_state(node.clone(), arrive))
        .with_state(node)
}

/// A request that is being answered. If its client goes away, that is logged: nobody else would name it.
struct Unanswered {
    node: Arc<Node>,
    request: String,
    method: Method,
    path: String,
    uid: Option<u32>,
    address: Option<String>,
    begun: Tsc,
    begun_unix_ns: u64,
    is_answered: bool,
}

impl Unanswered {
    /// Writes down what came of it; `None`: its client went away.
    fn record(&self, token: Option<&str>, status: Option<u16>) {
        let Self { request, method, path, uid, .. } = self;
        let (uid, address) = (*uid, self.address.as_deref());
        let took_us = Tsc::now().since(self.begun, self.node.tsc_hz()) / 1000;
        let what = format!("{method} {path}");
        match status {
            Some(status) => tracing::info!(request, uid, address, token, what, status, took_us),
            None => tracing::info!(request, uid, address, what, took_us, "the client went away"),
        }
        if let Some(audit) = &self.node.audit {
            let (time_unix_ns, method) = (self.begun_unix_ns, method.as_str());
            audit.record(&Entry { time_unix_ns, request, uid, address, token, method, path, status });
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if !self.is_answered {
            self.record(None, None);
        }
    }
}

/// Stamps a request's arrival, asks who it is, and writes down what came of it.
async fn arrive(State(node): State<Arc<Node>>, mut request: Request, next: Next) -> Response {
    let (begun, begun_unix_ns) = (Tsc::now(), unix_ns());
    let given = request.headers().get(REQUEST_ID).and_then(|v| v.to_str().ok());
    let given = given.filter(|id| !id.is_empty() && id.len() <= 128).map(str::to_owned);
    let id = given.unwrap_or_else(|| format!("req-{}", Uuid::now_v7()));
    // One that is not as the standard has it is ignored, as the standard wants it.
    let traceparent =
        request.headers().get(trace_context::HEADER).and_then(|v| v.to_str().ok()?.parse().ok());
    let mut trace =
        RequestTrace { request: id.clone(), traceparent, begun, begun_unix_ns, phases: Vec::new() };
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|c| c.0);
    let (uid, address) = peer.map_or((None, None), |p| (p.uid, p.address.map(|a| a.to_string())));
    trace.past(Phase::Authorize);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(trace);
    let is_answered = false;
    let request_id = id.clone();
    let mut unanswered = Unanswered {
        node,
        request: request_id,
        method,
        path,
        uid,
        address,
        begun,
        begun_unix_ns,
        is_answered,
    };
    let mut response = next.run(request).await;
    unanswered.is_answered = true;
    let token = response.extensions().get::<access::TokenName>().map(|name| name.0.as_str());
    unanswered.record(token, Some(response.status().as_u16()));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

impl<S: Send + Sync> FromRequestParts<S> for RequestTrace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::node("a request without its arrival"))
    }
}

/// A JSON body; what is wrong with it is a problem.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = tokio::time::timeout(BODY_TIME, Json::<T>::from_request(request, state)).await;
        let late = || Problem { status: 408, ..Problem::invalid("the body did not arrive in time") };
        match read.map_err(|_| late())? {
            Ok(Json(value)) => Ok(Self(value)),
            Err(e) => Err(Problem { status: e.status().as_u16(), ..Problem::invalid(e.body_text()) }),
        }
    }
}

/// A query; what is wrong with it is a problem.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(e) => Err(Problem { status: 400, ..Problem::invalid(e.body_text()) }),
        }
    }
}

/// Something was made.
pub fn created<T: serde::Serialize>(value: T) -> Response {
    (StatusCode::CREATED, Json(value)).into_response()
}

/// How the node is.
#[utoipa::path(get, path = "/v1/status", tag = "node", responses((status = 200, body = Status)))]
async fn status(State(node): State<Arc<Node>>) -> Json<Status> {
    Json(node.status())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn every_operation_has_an_id_of_its_own_and_the_document_says_how_to_authenticate() {
        let document: serde_json::Value = serde_json::from_str(&super::document()).unwrap();
        let operations = document["paths"].as_object().unwrap().values().flat_map(|p| p.as_object().unwrap());
        let mut known = HashSet::new();
        for (method, operation) in operations {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {operation}"));
            assert!(known.insert(id.to_owned()), "{id} stands twice");
        }
        assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
        assert_eq!(document["security"][1]["token"], serde_json::json!([]));
    }
}
