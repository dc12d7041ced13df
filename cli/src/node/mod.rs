//! Commands that talk to the node.
//!
//! | module | commands |
//! |---|---|
//! | `daemon` | `node` |
//! | [`create`] | `run --network` |
//! | [`instances`] | `start`, `reboot`, `pause`, `resume`, `rm`, `logs`, and what others ask about instances |
//! | [`networks`], [`images`], [`tokens`], [`events`], [`timelines`], [`top`] | `net`, `image`, `token`, `events`, `timeline --stats`, `top` |

pub mod create;
pub mod daemon;
pub mod events;
pub mod images;
pub mod instances;
pub mod networks;
pub mod timelines;
pub mod tokens;
pub mod top;

use crate::output::Failure;
use api::problem::Problem;
use machine::status;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let status = match problem.kind.strip_prefix("urn:microvisor:").unwrap_or_default() {
            "invalid" | "configuration" => status::CONFIGURATION_REFUSED,
            "permission" => status::PERMISSION,
            "absent" | "taken" | "conflict" | "host" => status::HOST,
            _ => status::MONITOR,
        };
        Failure::Message { message: problem.detail, hint: problem.hint, status }
    }
}

/// Text as a part of a path or query (RFC 3986, section 2.1).
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
