//! Commands that talk to the node.
//!
//! | module | commands |
//! |---|---|
//! | `daemon`, [`backup`] | `node`, `node backup`, `node restore` |
//! | [`context`] | `context`, and which node the others ask |
//! | [`create`] | `run --network` |
//! | [`declared`], [`edit`] | `get`, `apply`; `edit` |
//! | [`instances`] | `start`, `reboot`, `pause`, `resume`, `rm`, `logs`, and what others ask about instances |
//! | [`networks`], [`flavors`], [`images`], [`tokens`], [`events`], [`timelines`], [`top`], [`status`] | `net`, `flavor`, `image`, `token`, `events`, `timeline --stats`, `top`, `status` |

pub mod backup;
pub mod change;
pub mod context;
pub mod create;
pub mod daemon;
pub mod declared;
pub mod edit;
pub mod events;
pub mod flavors;
pub mod images;
pub mod instances;
pub mod labels;
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
