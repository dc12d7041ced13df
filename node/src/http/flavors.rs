//! `/v1/flavors`: sizes by name.

use super::{Body, created};
use crate::cgroup::{PERCENT_RANGE, SHARES_RANGE};
use crate::disks::DISK_MAXIMUM_MIB;
use crate::node::Node;
use crate::process::allowed_cpus;
use crate::store::Named;
use api::Problem;
use api::flavor::Flavor;
use api::instance::is_name;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use linux::options::CPUS_MAXIMUM;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, delete))
}

/// Create a flavor.
#[utoipa::path(post, path = "/v1/flavors", tag = "flavors", request_body = Flavor, responses(
    (status = 201, body = Flavor),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json")))]
async fn create(State(node): State<Arc<Node>>, Body(flavor): Body<Flavor>) -> Result<Response, Problem> {
    if !is_name(&flavor.name) {
        return Err(Problem::invalid(format!("{:?} cannot name a flavor", flavor.name)));
    }
    if flavor.queue.is_some_and(|q| !q.is_power_of_two() || !(8..=1024).contains(&q)) {
        return Err(Problem::invalid("a queue has a power of two of entries, from 8 to 1024"));
    }
    if flavor.cpu_shares.is_some_and(|shares| !SHARES_RANGE.contains(&shares)) {
        return Err(Problem::invalid("cpu_shares are 2 to 262144"));
    }
    if flavor.cpu_percent.is_some_and(|percent| !PERCENT_RANGE.contains(&percent)) {
        return Err(Problem::invalid("cpu_percent is 1 to 100000"));
    }
    if flavor.memory_mib == Some(0) {
        return Err(Problem::invalid("memory_mib: at least 1"));
    }
    if flavor.vcpus.is_some_and(|vcpus| !(1..=CPUS_MAXIMUM).contains(&vcpus)) {
        return Err(Problem::invalid(format!("vcpus: 1 to {CPUS_MAXIMUM}")));
    }
    if flavor.disk_mib.is_some_and(|mib| !(1..=DISK_MAXIMUM_MIB).contains(&mib)) {
        return Err(Problem::invalid(format!("disk_mib: 1 to {DISK_MAXIMUM_MIB}")));
    }
    if let Some(cpus) = &flavor.cpus {
        let allowed = allowed_cpus().map_err(|e| Problem::host(format!("processors: {e}")))?;
        if cpus.is_empty() {
            return Err(Problem::invalid("cpus: at least one"));
        }
        if let Some(other) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            return Err(Problem::invalid(format!(
                "cpus: {other} is none that the node may use ({allowed:?})"
            )));
        }
    }
    let rates = [flavor.send_mbit, flavor.receive_mbit];
    if rates.into_iter().flatten().any(|rate| !rate.is_finite() || rate <= 0.0) {
        return Err(Problem::invalid("a rate is more than 0"));
    }
    if !node.store.put_flavor(&flavor)? {
        return Err(Problem::taken("flavor", &flavor.name));
    }
    Ok(created(flavor))
}

/// List flavors.
#[utoipa::path(get, path = "/v1/flavors", tag = "flavors", responses((status = 200, body = Vec<Flavor>)))]
async fn list(State(node): State<Arc<Node>>) -> Result<Json<Vec<Flavor>>, Problem> {
    Ok(Json(node.store.flavors()?))
}

/// Look at a flavor.
#[utoipa::path(get, path = "/v1/flavors/{name}", tag = "flavors", params(("name" = String, Path)), responses(
    (status = 200, body = Flavor), (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn show(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Json<Flavor>, Problem> {
    Ok(Json(node.store.flavor(&name)?))
}

/// Delete a flavor. Instances that have it keep what they got from it while they run.
#[utoipa::path(delete, path = "/v1/flavors/{name}", tag = "flavors", params(("name" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = Problem, content_type = "application/problem+json")))]
async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    match node.store.forget(Named::Flavors, &name)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::absent("flavor", &name)),
    }
}
