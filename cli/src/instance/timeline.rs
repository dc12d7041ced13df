//! `microvisor timeline NAME`: where the time of a start went.

use super::{call, is_local, unexpected};
use crate::node::instances;
use crate::output::{self, Failure};
use api::trace;
use clap::Args;
use machine::control::{Request, Response};

/// The form in which a timeline is printed.
#[derive(Args, Clone, Copy, Debug)]
pub struct Forms {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the trace format of chrome://tracing and Perfetto
    #[arg(long, conflicts_with = "json")]
    chrome_trace: bool,
    /// Print the format of OpenTelemetry collectors (OTLP, JSON)
    #[arg(long, conflicts_with_all = ["json", "chrome_trace"])]
    otlp: bool,
}

/// `microvisor timeline NAME`
pub fn timeline(name: &str, forms: Forms) -> Result<(), Failure> {
    let timeline = if !is_local(name) && instances::has(name) {
        instances::timeline(name)?
    } else {
        match call(name, &Request::Timeline)? {
            Response::Timeline(timeline) if forms.json => return output::json(&timeline),
            Response::Timeline(timeline) => output::of_monitor(name, &timeline),
            _ => return Err(unexpected(name)),
        }
    };
    if forms.json {
        output::json(&timeline)
    } else if forms.chrome_trace {
        output::json(&trace::chrome(&timeline))
    } else if forms.otlp {
        output::json(&trace::otlp(&timeline))
    } else {
        output::print(output::bars(&trace::flat(&timeline)))
    }
}
