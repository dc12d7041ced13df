//! Sends the trace of each start to an OpenTelemetry collector: OTLP 1.x over HTTP, in its JSON encoding. A start is sent a
//! moment after its guest became ready, so that its first packet and an orchestrator's phases are in the trace, several at
//! a time. A collector that does not answer is asked again; what finds no room meanwhile is lost, and counted.

use crate::node::Node;
use crate::settings::Settings;
use api::timeline::Timeline;
use api::{Problem, trace};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;
use uuid::Uuid;

/// What a collector's traces are sent to, below the URL that is set (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// After a guest became ready, until its start is sent.
const DELAY: Duration = Duration::from_secs(2);
/// Starts that may wait.
const WAITING: usize = 4096;
/// Starts of one request.
const BATCH: usize = 256;
/// How long a monitor may take to tell its timeline once more.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before a request is sent again; twice as long each time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often a request is sent.
const TRIES: u32 = 5;

/// Starts on their way to the collector.
pub struct Exporter {
    to: Sender<(Uuid, Instant)>,
    sent: AtomicU64,
    lost: AtomicU64,
}

/// Why a request was not taken.
enum PostError {
    /// It may be taken later.
    Later(String),
    /// It never will.
    Never(String),
}

impl Exporter {
    /// One for the collector that is set, if one is, and where what it is told comes out.
    pub fn new(settings: &Settings) -> Option<(Self, Receiver<(Uuid, Instant)>)> {
        settings.otlp.as_ref()?;
        let (to, due) = channel(WAITING);
        Some((Self { to, sent: AtomicU64::new(0), lost: AtomicU64::new(0) }, due))
    }

    /// An instance has become ready.
    pub fn ready(&self, instance: Uuid) {
        if self.to.try_send((instance, Instant::now() + DELAY)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many starts were sent and how many were lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

/// The address of a collector's traces.
fn address(url: &str) -> String {
    format!("{}{PATH}", url.trim_end_matches('/'))
}

/// Several traces as one request.
fn request(timelines: &[Timeline]) -> Value {
    let of = |t: &Timeline| match trace::otlp(t)["resourceSpans"].take() {
        Value::Array(spans) => spans,
        _ => Vec::new(),
    };
    json!({ "resourceSpans": timelines.iter().flat_map(of).collect::<Vec<_>>() })
}

/// Sends one request. Blocks.
fn post(agent: &ureq::Agent, to: &str, body: &[u8]) -> Result<(), PostError> {
    let answer = agent.post(to).content_type("application/json").send(body);
    match answer.map(|answer| answer.status().as_u16()) {
        Ok(200..300) => Ok(()),
        // These say that it may be repeated (OTLP specification, "Retryable Response Codes").
        Ok(status @ (429 | 502 | 503 | 504)) => Err(PostError::Later(format!("status {status}"))),
        Ok(status) => Err(PostError::Never(format!("status {status}"))),
        Err(e) => Err(PostError::Later(e.to_string())),
    }
}

/// Sends what is due, for ever.
pub async fn run(node: Arc<Node>, exporter: Arc<Exporter>, mut due: Receiver<(Uuid, Instant)>) {
    let Some(to) = node.settings.otlp.as_deref().map(address) else { return };
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent();
    let mut silent = false;
    let mut next = None;
    loop {
        let Some((first, at)) = (match next.take() {
            Some(next) => Some(next),
            None => due.recv().await,
        }) else {
            return;
        };
        tokio::time::sleep_until(at).await;
        let mut instances = vec![first];
        // And all others that are due.
        while instances.len() < BATCH && next.is_none() {
            match due.try_recv() {
                Ok((instance, at)) if at <= Instant::now() => instances.push(instance),
                Ok(later) => next = Some(later),
                Err(_) => break,
            }
        }
        let mut timelines = Vec::with_capacity(instances.len());
        for &instance in &instances {
            let timeline = timeline_of(&node, instance).await.ok().flatten();
            timelines.extend(timeline.filter(|t| t.traceparent.is_none_or(|parent| parent.sampled)));
        }
        if timelines.is_empty() {
            continue;
        }
        let body: Arc<[u8]> = request(&timelines).to_string().into_bytes().into();
        let count = timelines.len() as u64;
        match send(&agent, &to, &body).await {
            Ok(()) => {
                exporter.sent.fetch_add(count, Ordering::Relaxed);
                silent = false;
            }
            Err(e) => {
                exporter.lost.fetch_add(count, Ordering::Relaxed);
                if !std::mem::replace(&mut silent, true) {
                    tracing::warn!("traces are lost: {to}: {e}");
                }
            }
        }
    }
}

/// How an instance came to be: from its monitor, or, where that tells nothing, from the store.
async fn timeline_of(node: &Node, instance: Uuid) -> Result<Option<Timeline>, Problem> {
    if let Ok(handle) = node.instance(&instance.to_string())
        && let Ok(Ok(timeline)) = tokio::time::timeout(STORE_TIMEOUT, handle.timeline()).await
    {
        return Ok(Some(timeline));
    }
    Ok(node.store.timeline(instance)?)
}

/// Sends a request until it is taken, as often as it may be.
async fn send(agent: &ureq::Agent, to: &str, body: &Arc<[u8]>) -> Result<(), String> {
    let mut pause = RETRY_PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        let (agent, to, body) = (agent.clone(), to.to_owned(), body.clone());
        let sent = tokio::task::spawn_blocking(move || post(&agent, &to, &body)).await;
        match sent.unwrap_or_else(|e| Err(PostError::Never(e.to_string()))) {
            Ok(()) => return Ok(()),
            Err(PostError::Never(e)) => return Err(e),
            Err(PostError::Later(e)) if tries == TRIES => return Err(e),
            Err(PostError::Later(_)) => tokio::time::sleep(pause).await,
        }
        pause *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_s_url_may_end_in_a_slash() {
        for url in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/"] {
            assert_eq!(address(url), "http://127.0.0.1:4318/v1/traces");
        }
    }
}
