//! gRPC's health checks: go-plugin asks for the service `plugin`.

use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::Health as Service;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};
use std::pin::Pin;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// The service.
pub struct Health;

/// The whole, and by go-plugin's name.
fn is_known(service: &str) -> bool {
    ["", "plugin"].contains(&service)
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Service for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        asked: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if is_known(&asked.get_ref().service) {
            Ok(Response::new(answer(ServingStatus::Serving)))
        } else {
            Err(Status::not_found("there is no such service here"))
        }
    }

    async fn watch(&self, asked: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = is_known(&asked.get_ref().service);
        let status = if known { ServingStatus::Serving } else { ServingStatus::ServiceUnknown };
        // It does not change as long as somebody is here to say so.
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(answer(status))).chain(tokio_stream::pending()))))
    }
}
