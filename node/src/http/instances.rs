//! `/v1/instances`: create, look, start, stop, reboot, delete.

use super::{Body, Query, created};
use crate::desired::{Desired, Goal};
use crate::failpoint;
use crate::images::digest;
use crate::instance::plan::{Plan, plan};
use crate::instance::{Handle, RequestTrace, actor};
use crate::network::{Addresses, allocate};
use crate::node::Node;
use crate::store::{Error, Row};
use api::Problem;
use api::instance::{Device, Instance, InstanceChange, InstanceSpec, Instances, State as Life};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use machine::timeline::{Phase, unix_ns};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// How long a request waits for an instance to become what it shall.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Instances of a page, unless told otherwise, and at the most.
const PAGE: (usize, usize) = (100, 1000);
/// Looks for an instance that another request is about to take in.
const TRIES: usize = 100;

/// The paths of this resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change, delete))
        .routes(routes!(spec))
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(reboot))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// What a creation waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Wait {
    /// Until it is ready, or has failed.
    #[default]
    Ready,
    /// For nothing: its monitor was started.
    None,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Creation {
    /// What to wait for: `ready` or `none`
    #[serde(default)]
    #[param(inline)]
    wait: Wait,
    /// Only define it; it is not started
    #[serde(default)]
    defer: bool,
}

/// Create an instance and start it.
///
/// With the header `Idempotency-Key`, the same request sent again gives the same instance.
#[utoipa::path(post, path = "/v1/instances", tag = "instances", params(Creation,
    ("Idempotency-Key" = Option<String>, Header, description = "A key of the client's choice, remembered for a day")),
    request_body = InstanceSpec, responses(
    (status = 201, description = "It is there", body = Instance),
    (status = 200, description = "The same request was answered before", body = Instance),
    (status = 400, description = "The query is not valid", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "Something named is not there", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The name or an address is taken", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "The body is not JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The request or the configuration is refused", body = Problem, content_type = "application/problem+json"),
    (status = 502, description = "The guest did not become ready", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "The host lacks something", body = Problem, content_type = "application/problem+json")))]
async fn create(
    State(node): State<Arc<Node>>,
    mut trace: RequestTrace,
    Query(how): Query<Creation>,
    headers: HeaderMap,
    Body(spec): Body<InstanceSpec>,
) -> Result<Response, Problem> {
    trace.past(Phase::Request);
    let key = headers.get("idempotency-key").map(|v| v.to_str().unwrap_or_default());
    let digest = key.map(|_| digest(&serde_json::to_vec(&spec).unwrap_or_default()));
    if let (Some(key), Some(digest)) = (key, &digest) {
        if key.is_empty() || key.len() > 128 {
            return Err(Problem::invalid("an idempotency key has 1 to 128 characters"));
        }
        if let Some(answer) = answered(&node, key, digest).await? {
            return Ok(answer);
        }
    }
    let plan = plan(&node, &spec, trace)?;
    let goal = match (how.defer, spec.on_demand) {
        (true, _) => Goal::Stopped,
        (false, Some(_)) => Goal::Waiting,
        (false, None) => Goal::Running,
    };
    let row = match keep(&node, spec, &plan, goal, key.zip(digest.as_deref())) {
        Ok(row) => row,
        Err(Error::Repeated) => {
            let again =
                answered(&node, key.unwrap_or_default(), digest.as_deref().unwrap_or_default()).await?;
            return again.ok_or_else(|| Problem::conflict("this idempotency key is in use"));
        }
        Err(e) => return Err(e.into()),
    };
    failpoint::reach("create::kept");
    let handle = actor::create(node.clone(), row);
    node.add(handle.clone());
    if api::local::runs(&handle.name) {
        handle.delete(true).await?;
        return Err(Problem::taken("instance that runs without the node", &handle.name));
    }
    node.events.emit("instance.created", &handle.name, serde_json::Value::Null);
    let on_demand = handle.view.borrow().on_demand.is_some();
    if how.defer || on_demand {
        if !how.defer {
            handle.wait().await?;
        }
        let instance = handle.view.borrow().clone();
        return Ok(created(instance));
    }
    // It is started even if the client goes away.
    let launched = handle.clone();
    let launched = tokio::spawn(async move { launched.launch(plan).await });
    launched.await.map_err(|e| Problem::node(e.to_string()))??;
    let wanted = move |s: Life| how.wait == Wait::None || s != Life::Starting;
    let instance = handle.until(wanted, TIMEOUT).await;
    match (instance.state, &instance.reason) {
        (Life::Failed, Some(reason)) => Err(Problem::failed(format!("{} failed: {reason}", instance.name))
            .hint(format!("its last words: microvisor logs {}", instance.name))),
        _ => Ok(created(instance)),
    }
}

/// The answer to a request whose idempotency key was used before, perhaps by one that is still at work.
async fn answered(node: &Node, key: &str, digest: &str) -> Result<Option<Response>, Problem> {
    let Some(known) = node.store.known_request(key)? else { return Ok(None) };
    if known.body != digest {
        return Err(Problem::invalid("this idempotency key was used for another request"));
    }
    let id = known.instance.to_string();
    // The other request may have written the instance down and not taken it in yet.
    let mut handle = node.instance(&id);
    for _ in 0..TRIES {
        if handle.is_ok() || node.store.instance(&id).is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        handle = node.instance(&id);
    }
    let instance = handle?.until(|s| s != Life::Starting, TIMEOUT).await;
    Ok(Some(Json(instance).into_response()))
}

/// Writes a new instance down, with addresses that are its own.
fn keep(
    node: &Node,
    spec: InstanceSpec,
    plan: &Plan,
    goal: Goal,
    request: Option<(&str, &str)>,
) -> Result<Row, Error> {
    let id = Uuid::now_v7();
    let name = spec.name.clone().unwrap_or_else(|| node.name_for(&spec, id));
    let devices = place(node, &spec, id)?;
    let instance = Instance {
        id,
        name: name.clone(),
        // With this write it is about to be started: no other follows before that.
        state: if goal == Goal::Running { Life::Starting } else { Life::Stopped },
        reason: None,
        status: None,
        image: spec.image.clone(),
        memory_mib: plan.memory_mib,
        devices,
        labels: spec.labels.clone(),
        restart: spec.restart,
        on_demand: spec.on_demand,
        health: None,
        restarts: 0,
        pid: None,
        started_unix_ns: None,
        created_unix_ns: unix_ns(),
        ready_ns: None,
    };
    let row = Row { spec, desired: Desired::new(goal), instance, running: None };
    let added = node.store.add_instance(&row, request);
    if !matches!(added, Ok(true)) {
        node.store.release_addresses(&row.instance.devices);
    }
    if added? { Ok(row) } else { Err(Problem::taken("instance", &name).into()) }
}

/// Devices with addresses, which are this instance's from now on.
fn place(node: &Node, spec: &InstanceSpec, id: Uuid) -> Result<Vec<Device>, Error> {
    let short = id.simple().to_string();
    let mut devices = Vec::with_capacity(spec.devices.len());
    for (number, requested) in spec.devices.iter().enumerate() {
        let port = format!("{}-{number}", &short[8..]);
        let placed = node.store.network(&requested.network).and_then(|network| {
            let take = |taken: &mut Addresses| {
                let device = allocate(requested, &network, port, taken)?;
                device.addresses().into_iter().for_each(|address| taken.insert(address));
                Ok(device)
            };
            node.store.take_address(&network.name, take)
        });
        match placed {
            Ok(device) => devices.push(device),
            Err(e) => {
                node.store.release_addresses(&devices);
                return Err(e);
            }
        }
    }
    Ok(devices)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Those after this id
    #[serde(default)]
    after: String,
    /// At most so many
    limit: Option<usize>,
}

/// List instances, in the order of creation.
#[utoipa::path(get, path = "/v1/instances", tag = "instances", params(Page), responses(
    (status = 200, body = Instances),
    (status = 400, body = Problem, content_type = "application/problem+json")))]
async fn list(State(node): State<Arc<Node>>, Query(page): Query<Page>) -> Result<Json<Instances>, Problem> {
    let limit = page.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    node.written().await;
    let instances = node.store.page(&page.after, limit)?;
    let next = (instances.len() == limit).then(|| instances.last().map(|i| i.id)).flatten();
    Ok(Json(Instances { instances, next }))
}

/// Look at an instance.
#[utoipa::path(get, path = "/v1/instances/{name}", tag = "instances", params(("name" = String, Path, description = "Name or id")),
    responses((status = 200, body = Instance),
    (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn show(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Json<Instance>, Problem> {
    let instance = node.instance(&name)?.view.borrow().clone();
    Ok(Json(instance))
}

/// What an instance shall be, as it was last asked for, with its configuration.
#[utoipa::path(get, path = "/v1/instances/{name}/spec", tag = "instances",
    params(("name" = String, Path, description = "Name or id")), responses((status = 200, body = InstanceSpec),
    (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn spec(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
) -> Result<Json<InstanceSpec>, Problem> {
    let handle = node.instance(&name)?;
    node.written().await;
    Ok(Json(node.store.instance(&handle.id.to_string())?.spec))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Deletion {
    /// End it if it runs
    #[serde(default)]
    force: bool,
}

/// Delete an instance. One that runs is only ended with `force`.
#[utoipa::path(delete, path = "/v1/instances/{name}", tag = "instances",
    params(("name" = String, Path, description = "Name or id"), Deletion),
    responses((status = 204, description = "It is gone"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn delete(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(how): Query<Deletion>,
) -> Result<StatusCode, Problem> {
    node.instance(&name)?.delete(how.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change an instance's labels or restart policy. A guest that runs notices nothing.
#[utoipa::path(patch, path = "/v1/instances/{name}", tag = "instances",
    params(("name" = String, Path, description = "Name or id")),
    request_body(content = InstanceChange, content_type = "application/merge-patch+json"), responses(
    (status = 200, body = Instance),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn change(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Body(change): Body<InstanceChange>,
) -> Result<Json<Instance>, Problem> {
    Ok(Json(node.instance(&name)?.change(change).await?))
}

/// Start an instance that does not run, and wait until it is ready.
#[utoipa::path(post, path = "/v1/instances/{name}/start", tag = "instances",
    params(("name" = String, Path, description = "Name or id")),
    responses((status = 200, body = Instance),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 507, body = Problem, content_type = "application/problem+json")))]
async fn start(
    State(node): State<Arc<Node>>,
    mut trace: RequestTrace,
    Path(name): Path<String>,
) -> Result<Json<Instance>, Problem> {
    trace.past(Phase::Request);
    let handle = node.instance(&name)?;
    handle.start(trace).await?;
    Ok(Json(handle.until(|s| s != Life::Starting, TIMEOUT).await))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Stopping {
    /// Milliseconds that the guest has for it; 2000 unless told otherwise, a Linux guest 20000
    grace_ms: Option<u32>,
}

impl Stopping {
    fn grace(&self, node: &Node, handle: &Handle) -> Duration {
        let grace_ms = self.grace_ms.unwrap_or_else(|| node.images.grace_ms(&handle.view.borrow().image));
        Duration::from_millis(grace_ms.min(600_000).into())
    }
}

/// Stop an instance, and wait until it has stopped. Its monitor is killed after the grace period.
#[utoipa::path(post, path = "/v1/instances/{name}/stop", tag = "instances",
    params(("name" = String, Path, description = "Name or id"), Stopping),
    responses((status = 200, body = Instance),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn stop(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(how): Query<Stopping>,
) -> Result<Json<Instance>, Problem> {
    let handle = node.instance(&name)?;
    let grace = how.grace(&node, &handle);
    handle.stop(grace).await?;
    Ok(Json(handle.until(|s| !s.runs(), grace + TIMEOUT).await))
}

/// Keep a ready instance's guest from running. Its packets wait in its queues, as many as have room.
#[utoipa::path(post, path = "/v1/instances/{name}/pause", tag = "instances",
    params(("name" = String, Path, description = "Name or id")),
    responses((status = 200, body = Instance),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn pause(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Json<Instance>, Problem> {
    pause_or_resume(&node, &name, true).await
}

/// Let a paused instance's guest run on.
#[utoipa::path(post, path = "/v1/instances/{name}/resume", tag = "instances",
    params(("name" = String, Path, description = "Name or id")),
    responses((status = 200, body = Instance),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn resume(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Json<Instance>, Problem> {
    pause_or_resume(&node, &name, false).await
}

async fn pause_or_resume(node: &Node, name: &str, pause: bool) -> Result<Json<Instance>, Problem> {
    let handle = node.instance(name)?;
    handle.pause(pause).await?;
    let instance = handle.view.borrow().clone();
    Ok(Json(instance))
}

/// Stop an instance and start it again, and wait until it is ready.
#[utoipa::path(post, path = "/v1/instances/{name}/reboot", tag = "instances",
    params(("name" = String, Path, description = "Name or id"), Stopping),
    responses((status = 200, body = Instance),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 507, body = Problem, content_type = "application/problem+json")))]
async fn reboot(
    State(node): State<Arc<Node>>,
    mut trace: RequestTrace,
    Path(name): Path<String>,
    Query(how): Query<Stopping>,
) -> Result<Json<Instance>, Problem> {
    trace.past(Phase::Request);
    let handle = node.instance(&name)?;
    let grace = how.grace(&node, &handle);
    handle.reboot(trace, grace).await?;
    // Until the new run is ready, or has ended: the old one is `stopping` until the new one is `starting`.
    let ends = |s| s != Life::Stopping && s != Life::Starting;
    Ok(Json(handle.until(ends, grace + TIMEOUT).await))
}
