//! Log lines as Nomad's own logger writes them (hclog's JSON), on standard error: Nomad puts them into its log, by level.

use serde_json::{Map, Value};
use std::fmt::Debug;
use std::io::Write;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Writes from now on. Nomad leaves out what is below its own level.
pub fn begin() {
    let wanted: Option<Targets> = std::env::var("RUST_LOG").ok().and_then(|levels| levels.parse().ok());
    let ours = || Targets::new().with_target("nomad_driver_microvisor", Level::TRACE);
    // A second one in the same process, as tests have, changes nothing.
    let _ = tracing_subscriber::registry().with(wanted.unwrap_or_else(ours)).with(Lines).try_init();
}

struct Lines;

/// A line's fields.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let name = if field.name() == "message" { "@message" } else { field.name() };
        self.0.insert(name.into(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

fn line(event: &Event<'_>) -> String {
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    let mut time = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let mut fields = Fields(Map::new());
    fields.0.insert("@level".into(), level.into());
    fields.0.insert("@module".into(), "microvisor".into());
    fields.0.insert("@timestamp".into(), time.into());
    event.record(&mut fields);
    Value::Object(fields.0).to_string()
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // A client that is gone reads no more; that must not end what it left behind.
        let _ = writeln!(std::io::stderr().lock(), "{}", line(event));
    }
}
