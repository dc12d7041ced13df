//! Commands that talk to the node.
//!
//! | module | commands |
//! |---|---|
//! | `daemon` | `node` |
//! | [`create`] | `run --network` |
//! | [`instances`] | `start`, `reboot`, `pause`, `resume`, `rm`, `logs`, and what others ask about instances |
//! | [`networks`], [`images`], [`tokens`], [`events`], [`timelines`], [`top`], [`status`] | `net`, `image`, `token`, `events`, `timeline --stats`, `top`, `status` |

pub mod create;
pub mod daemon;
pub mod events;
pub mod images;
pub mod instances;
pub mod networks;
pub mod status;
pub mod timelines;
pub mod tokens;
pub mod top;

use crate::output::Failure;
use api::problem::Problem;
use machine::status as exit;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let status = match problem.kind.strip_prefix("urn:microvisor:").unwrap_or_default() {
            "invalid" | "configuration" => exit::CONFIGURATION_REFUSED,
            "permission" => exit::PERMISSION,
            "absent" | "taken" | "conflict" | "host" => exit::HOST,
            _ => exit::MONITOR,
        };
        Failure::Message { message: problem.detail, hint: problem.hint, status }
    }
}

/// Text as a part of a path or query (RFC 3986, section 2.1).
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
