//! How Nomad is told that something was not done.

use crate::node::Fault;
use crate::proto::rpc;
use crate::proto::structs::RecoverableError;
use crate::task::start::Failure;
use prost::Message;
use tonic::{Code, Status};

/// Type of the detail that says whether trying again may help.
const RECOVERABLE: &str = "type.googleapis.com/hashicorp.nomad.plugins.shared.structs.RecoverableError";

/// As Nomad's own drivers say it.
pub fn not_found() -> Status {
    Status::not_found("task not found for given id")
}

/// A task was not started. Nomad starts it again by its restart policy if that may help, and otherwise has it fail.
pub fn not_started(failure: &Failure) -> Status {
    let recoverable = RecoverableError { recoverable: failure.is_transient() };
    let detail = prost_types::Any { type_url: RECOVERABLE.into(), value: recoverable.encode_to_vec() };
    let message = failure.to_string();
    let status = rpc::Status {
        code: Code::FailedPrecondition as i32,
        message: message.clone(),
        details: vec![detail],
    };
    Status::with_details(Code::FailedPrecondition, message, status.encode_to_vec().into())
}

/// The node did not do it.
pub fn by_node(fault: &Fault) -> Status {
    match fault {
        Fault::Unreachable { .. } => Status::unavailable(fault.to_string()),
        Fault::Refused(_) if fault.is("absent") => Status::not_found(fault.to_string()),
        Fault::Refused(_) => Status::failed_precondition(fault.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_is_wrong_is_not_tried_again() {
        let status = not_started(&Failure::Job("config: 3:5: no such element".into()));
        let details = rpc::Status::decode(status.details()).unwrap();
        assert_eq!(details.details[0].type_url, RECOVERABLE);
        let detail = RecoverableError::decode(&details.details[0].value[..]).unwrap();
        assert!(!detail.recoverable && status.message().contains("3:5"));
    }
}
