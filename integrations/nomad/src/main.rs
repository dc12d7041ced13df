//! `nomad-driver-microvisor`: Nomad's client starts it as a plugin; a person starts `nomad-driver-microvisor timeline`.

#![deny(unsafe_code)]

use nomad_driver_microvisor::driver::Driver;
use nomad_driver_microvisor::plugin::{self, Presence};
use nomad_driver_microvisor::timeline;
use std::process::ExitCode;

const HELP: &str = "\
This is a plugin of Nomad's client, which starts it: put it into the client's plugin_dir, and see docs/nomad.md.

nomad-driver-microvisor timeline [--nomad URL] [--node SOCKET]
    adds what Nomad does for allocations to their timelines on the node
";

#[tokio::main]
async fn main() -> ExitCode {
    abort_on_panic::install();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        Some("timeline") => timeline::main(&words[1..]).await,
        None if plugin::is_asked_for() => {
            plugin::log::begin();
            let presence = Presence::default();
            let driver = Driver::new(presence.clone());
            plugin::serve(driver.services(), presence).await.map_err(|e| e.to_string())
        }
        Some("--version") => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        _ => {
            print!("{HELP}");
            Ok(())
        }
    };
    match outcome {
        // Waiting for the runtime would wait for streams that have no end.
        Ok(()) => std::process::exit(0),
        Err(e) => {
            eprintln!("nomad-driver-microvisor: {e}");
            ExitCode::FAILURE
        }
    }
}
