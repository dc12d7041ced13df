//! Who may do what. On the Unix socket its permissions decide, and who can connect may do everything; over TCP a token does.

use super::{Body, Peer, created};
use crate::images::digest;
use crate::node::Node;
use crate::store::tokens::Bearer;
use api::Problem;
use api::instance::is_name;
use api::token::{Access, Role, Secret, Token, TokenSpec};
use axum::Json;
use axum::body::{Body as HttpResponseBody, HttpBody};
use axum::extract::{ConnectInfo, Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use machine::timeline::unix_ns;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long a stream may go on after its token was revoked.
const REVOCATION: Duration = Duration::from_secs(1);

/// Name of the token of a request, for the log.
#[derive(Clone)]
pub struct TokenName(pub String);

/// The paths of this resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(delete)).routes(routes!(own))
}

/// The role that a request takes; none for what says nothing of this node.
fn needed(method: &Method, path: &str) -> Option<Role> {
    match path {
        "/v1/openapi.json" => None,
        _ if !path.starts_with("/v1/") && path != "/metrics" => None,
        _ if path.starts_with("/v1/tokens") => Some(Role::Admin),
        _ if method == Method::GET || method == Method::HEAD => Some(Role::Read),
        _ if path == "/v1/instances" || path.starts_with("/v1/instances/") => Some(Role::Operate),
        _ if path.starts_with("/v1/configurations/") => Some(Role::Operate),
        _ => Some(Role::Admin),
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    // The scheme's case does not matter (RFC 9110, section 11.1).
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// Lets through who may.
pub async fn admit(State(node): State<Arc<Node>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|c| c.0);
    let is_local = peer.is_some_and(|p| p.uid.is_some());
    let (mut token, mut name) = (None, None);
    if !is_local && let Some(needed) = needed(request.method(), request.uri().path()) {
        token = bearer(request.headers()).map(|token| digest(token.as_bytes()));
        let bearer = match token.as_ref().map(|token| node.store.bearer(token)) {
            Some(Ok(bearer)) => bearer,
            Some(Err(e)) => return Problem::from(e).into_response(),
            None => None,
        };
        match bearer {
            None => {
                let mut answer = Problem::unauthorized().into_response();
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                return answer;
            }
            Some(Bearer { name, role }) if role < needed => {
                let mut answer = Problem::forbidden(role, needed).into_response();
                answer.extensions_mut().insert(TokenName(name));
                return answer;
            }
            Some(known) => {
                name = Some(TokenName(known.name.clone()));
                request.extensions_mut().insert(known);
                // Nobody is refused because that cannot be written down, on a full disk say.
                let noted = token.as_ref().map(|token| node.store.note_use(token));
                if let Some(Err(e)) = noted {
                    tracing::warn!("the use of a token is not written down: {e}");
                }
            }
        }
    }
    let mut response = next.run(request).await;
    name.map(|name| response.extensions_mut().insert(name));
    match token {
        // A stream, which may go on for ever.
        Some(token) if response.body().size_hint().exact().is_none() => response.map(|body| {
            HttpResponseBody::from_stream(body.into_data_stream().take_until(revoked(node, token)))
        }),
        _ => response,
    }
}

/// Waits until a token is revoked or has expired.
async fn revoked(node: Arc<Node>, token: String) {
    loop {
        tokio::time::sleep(REVOCATION).await;
        if matches!(node.store.bearer(&token), Ok(None)) {
            return;
        }
    }
}

/// What this request may do: the name and the role of its token. On the Unix socket everything, without a token.
#[utoipa::path(get, path = "/v1/access", tag = "tokens", responses((status = 200, body = Access)))]
async fn own(token: Option<Extension<Bearer>>) -> Json<Access> {
    Json(match token {
        Some(Extension(Bearer { name, role })) => Access { token: Some(name), role },
        None => Access { token: None, role: Role::Admin },
    })
}

/// Make a token for use over TCP.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = TokenSpec, responses(
    (status = 201, body = Secret),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn create(
    State(node): State<Arc<Node>>,
    Body(requested): Body<TokenSpec>,
) -> Result<Response, Problem> {
    if !is_name(&requested.name) {
        return Err(Problem::invalid(format!("{:?} cannot name a token", requested.name)));
    }
    if requested.expires_unix_ns.is_some_and(|at| at <= unix_ns()) {
        return Err(Problem::invalid("expires_unix_ns is in the past"));
    }
    let mut random = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut random))
        .map_err(|e| Problem::host(format!("/dev/urandom: {e}")))?;
    // A digest of what nobody can guess is as good as that.
    let token = format!("mv-{}", digest(&random));
    if !node.store.add_token(&requested, &digest(token.as_bytes()))? {
        return Err(Problem::taken("token", &requested.name));
    }
    let TokenSpec { name, role, .. } = requested;
    Ok(created(Secret { name, role, token }))
}

/// List tokens: their names and roles, when they expire, when they were used.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = 200, body = Vec<Token>)))]
async fn list(State(node): State<Arc<Node>>) -> Result<Json<Vec<Token>>, Problem> {
    Ok(Json(node.store.tokens()?))
}

/// Delete a token: it is good for nothing any more.
#[utoipa::path(delete, path = "/v1/tokens/{name}", tag = "tokens", params(("name" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    if node.store.remove_token(&name)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::absent("token", &name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_a_token_has_any_case() {
        for (value, token) in
            [("Bearer a", Some("a")), ("bearer a", Some("a")), ("Basic a", None), ("a", None)]
        {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(bearer(&headers), token, "{value}");
        }
    }

    #[test]
    fn what_changes_the_node_takes_an_administrator() {
        assert_eq!(needed(&Method::GET, "/v1/instances"), Some(Role::Read));
        assert_eq!(needed(&Method::POST, "/v1/instances/a/stop"), Some(Role::Operate));
        assert_eq!(needed(&Method::POST, "/v1/networks"), Some(Role::Admin));
        assert_eq!(needed(&Method::GET, "/v1/tokens"), Some(Role::Admin));
        assert_eq!(needed(&Method::DELETE, "/v1/instancesx"), Some(Role::Admin));
        assert_eq!(needed(&Method::POST, "/v1/configurations/check"), Some(Role::Operate));
        assert_eq!(needed(&Method::GET, "/metrics"), Some(Role::Read));
        assert_eq!(needed(&Method::GET, "/"), None);
    }
}
