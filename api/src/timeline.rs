//! Timelines: how instances came to be, one by one and together.

use crate::trace_context::TraceParent;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An instantiation, from the request to the first packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Timeline {
    /// The instance.
    pub instance: Uuid,
    /// Its name then.
    pub name: String,
    /// The request that it answers.
    pub request: String,
    /// When the request arrived, nanoseconds since 1970.
    pub begun_unix_ns: u64,
    /// The trace of the request, if its header `traceparent` named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub traceparent: Option<TraceParent>,
    /// The phases.
    #[cfg_attr(feature = "server", schema(value_type = Object))]
    pub timeline: machine::timeline::Timeline,
    /// Phases of others that took part: an orchestrator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<External>,
}

/// A phase outside the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Who says so: `nova`, `nomad`.
    #[cfg_attr(feature = "server", schema(min_length = 1, max_length = 64))]
    pub source: String,
    /// The phase's name there.
    #[cfg_attr(feature = "server", schema(min_length = 1, max_length = 64))]
    pub name: String,
    /// When it began, nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// When it ended.
    pub end_unix_ns: u64,
}

/// How long a phase takes, over several timelines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Statistics {
    /// The phase's name; `total` is from the request to ready.
    pub phase: String,
    /// How many timelines have it.
    pub count: usize,
    /// Half take no longer, nanoseconds.
    pub p50_ns: u64,
    /// Nine of ten take no longer, nanoseconds.
    pub p90_ns: u64,
    /// Of a hundred, 99 take no longer, nanoseconds.
    pub p99_ns: u64,
}
