//! `/v1/networks`: segments of the switch.

use super::{Body, created};
use crate::failpoint;
use crate::network::{check, routes_collide, takeover, uplinks_collide};
use crate::node::Node;
use crate::store::Named;
use api::Problem;
use api::network::{Network, NetworkChange};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, change, delete))
}

/// Create a network.
#[utoipa::path(post, path = "/v1/networks", tag = "networks", request_body = Network, responses(
    (status = 201, body = Network),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn create(
    State(node): State<Arc<Node>>,
    Body(mut network): Body<Network>,
) -> Result<Response, Problem> {
    check(&network)?;
    // Two that want one interface: the second is told of the first.
    let _alone = if network.uplink.is_some() { Some(node.uplinks.lock().await) } else { None };
    if node.store.network(&network.name).is_ok() {
        return Err(Problem::taken("network", &network.name));
    }
    let others = node.store.networks()?;
    if let Some(other) = others.iter().find(|other| routes_collide(other, &network)) {
        return Err(Problem::conflict(format!(
            "the subnet of {} meets that of {}, in which the same host has an address",
            network.name, other.name
        )));
    }
    if let Some(why) = others.iter().find_map(|other| uplinks_collide(&network, other)) {
        return Err(Problem::conflict(why).hint("networks share an uplink by different VLANs: --vlan"));
    }
    if let Some(uplink) = network.uplink.as_ref().filter(|u| u.take_over) {
        let taken = tokio::task::block_in_place(|| takeover::take_over(uplink));
        let refused = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Problem { detail: e.to_string(), ..Problem::absent("interface", "") }
            }
            _ => Problem::conflict(e.to_string()),
        };
        taken.map_err(refused)?.apply(&mut network);
    }
    let give_back = || match tokio::task::block_in_place(|| takeover::release(&network)) {
        Ok(()) => {}
        Err(e) => tracing::warn!("network {}: its interface has not got its address back: {e}", network.name),
    };
    if !node.store.put_network(&network)? {
        give_back();
        return Err(Problem::taken("network", &network.name));
    }
    failpoint::reach("network::kept");
    if let Err(e) = node.switch.apply(Some(&network.name)) {
        node.store.forget(Named::Networks, &network.name)?;
        give_back();
        node.switch.apply(None)?;
        // What it wishes for is not there, or in use.
        return Err(if e.status == 507 { Problem::conflict(e.detail) } else { e });
    }
    failpoint::reach("network::applied");
    node.events.emit("network.created", &network.name, serde_json::Value::Null);
    Ok(created(network))
}

/// List networks.
#[utoipa::path(get, path = "/v1/networks", tag = "networks", responses((status = 200, body = Vec<Network>)))]
async fn list(State(node): State<Arc<Node>>) -> Result<Json<Vec<Network>>, Problem> {
    Ok(Json(node.store.networks()?))
}

/// Look at a network.
#[utoipa::path(get, path = "/v1/networks/{name}", tag = "networks", params(("name" = String, Path)), responses(
    (status = 200, body = Network), (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn show(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Json<Network>, Problem> {
    Ok(Json(node.store.network(&name)?))
}

/// Change a network: what of it may change while instances are on it.
#[utoipa::path(patch, path = "/v1/networks/{name}", tag = "networks", params(("name" = String, Path)),
    request_body(content = NetworkChange, content_type = "application/merge-patch+json"), responses(
    (status = 200, body = Network),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn change(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Body(change): Body<NetworkChange>,
) -> Result<Json<Network>, Problem> {
    let network = node.store.change_network(&name, |network| {
        if change.gateway.is_some() && network.uplink.as_ref().is_some_and(|u| u.take_over) {
            return Err(Problem::conflict(format!(
                "the gateway of {name} is that of the interface it took over"
            )));
        }
        change.apply(network);
        check(network)
    })?;
    failpoint::reach("network::changed");
    if change.flood_limit.is_some() {
        node.switch.apply(None)?;
    }
    node.events.emit("network.changed", &name, serde_json::Value::Null);
    Ok(Json(network))
}

/// Delete a network that no instance is on.
#[utoipa::path(delete, path = "/v1/networks/{name}", tag = "networks", params(("name" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json")))]
async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let on_it = |h: &crate::instance::Handle| h.view.borrow().devices.iter().any(|d| d.network == name);
    if let Some(handle) = node.handles().iter().find(|h| on_it(h)) {
        return Err(Problem::conflict(format!("{} is on network {name}", handle.name))
            .hint("delete its instances first"));
    }
    let network = node.store.network(&name)?;
    if !node.store.forget(Named::Networks, &name)? {
        return Err(Problem::absent("network", &name));
    }
    failpoint::reach("network::forgotten");
    node.switch.apply(None)?;
    failpoint::reach("network::removed");
    if let Err(e) = tokio::task::block_in_place(|| takeover::release(&network)) {
        tracing::warn!("network {name}: its interface has not got its address back: {e}");
    }
    node.events.emit("network.deleted", &name, serde_json::Value::Null);
    Ok(StatusCode::NO_CONTENT)
}
