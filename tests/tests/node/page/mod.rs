//! The page, in a real browser: each view of it, at the width of a desk and of a phone, in light and dark, with a thousand
//! instances. `served` has what the browser is given, `list`, `details`, `network`, `views` what it makes of it, `access` who may
//! do what and what happens while the node is away, `accessibility` what axe-core finds.

mod access;
mod accessibility;
mod details;
mod list;
mod network;
mod screenshots;
mod served;
mod views;

use e2e::browser::Browser;
use e2e::net::Namespace;
use e2e::node::Node;
use serde_json::json;
use std::net::TcpListener;

/// Widths and heights that the page has to be good at.
const DESK: (u32, u32) = (1440, 900);
const PHONE: (u32, u32) = (390, 844);

/// A node with a network, and its page with a token.
struct Site {
    // Before the node: the browser ends first.
    page: Browser,
    node: Node,
    host: Namespace,
    /// Requests that are refused on purpose: a status and a part of the path.
    refusals: Vec<(u16, &'static str)>,
}

impl Site {
    /// With a token that may do everything.
    fn new() -> Self {
        Self::of("admin")
    }

    fn of(role: &str) -> Self {
        // The same port again, after the node was away.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let listen = format!("127.0.0.1:{port}");
        let (node, host) = (Node::with(&["--listen", &listen]), Namespace::new());
        let network = json!({ "name": "blue", "subnet": "10.82.0.0/16", "gateway": "10.82.0.1",
            "host": { "tap": "blue", "netns": host.name, "address": "10.82.0.1/16" } });
        node.post("/v1/networks", &network).is(201);
        let token = node.post("/v1/tokens", &json!({ "name": "page", "role": role })).is(201);
        let mut page = Browser::open(&format!("http://{listen}/"));
        page.looks(DESK, false);
        page.until(
            "it asks for a token",
            "!!document.getElementById('access') && !document.getElementById('access').hidden",
        );
        page.fill("#token", token["token"].as_str().unwrap_or_default());
        page.click("#access button");
        page.until("it is live", "document.getElementById('live')?.textContent === 'live'");
        // An instance may be deleted in the moment that it is asked for.
        Self { page, node, host, refusals: vec![(401, ""), (404, "/v1/instances/")] }
    }

    /// Makes instances that do not run, by the page's own means: one process asks for all of them.
    #[track_caller]
    fn make(&mut self, count: usize) {
        let made = self.page.value(&format!(
            "(async () => {{
                const headers = {{ authorization: `Bearer ${{sessionStorage.getItem('microvisor-token')}}`, 'content-type': 'application/json' }};
                let next = 0, made = 0;
                const work = async () => {{
                    while (next < {count}) {{
                        const n = next++, app = ['fw', 'nat', 'lb', 'dns'][n % 4];
                        const body = JSON.stringify({{ name: `${{app}}-${{String(n).padStart(4, '0')}}`, config: 'Idle -> Discard;', devices: [{{ network: 'blue' }}], labels: {{ app, zone: `z${{n % 7}}` }} }});
                        const answer = await fetch('/v1/instances?defer=true', {{ method: 'POST', headers, body }});
                        made += answer.ok;
                    }}
                }};
                await Promise.all([1, 2, 3, 4].map(work));
                return made;
            }})()"
        ));
        assert_eq!(made, count);
    }

    /// Waits until an element that a selector finds has a text.
    #[track_caller]
    fn says(&mut self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        let any = format!("[...document.querySelectorAll({selector})].some((e) => e.textContent === {text})");
        self.page.until(&format!("{selector} says {text}"), &any);
    }

    /// Clicks a button by its words, in what a selector finds.
    #[track_caller]
    fn push(&mut self, within: &str, words: &str) {
        let (selector, text) = (json!(format!("{within} :is(button, a)")), json!(words));
        let find = format!(
            "[...document.querySelectorAll({selector})].find((b) => b.textContent === {text} && !b.disabled)"
        );
        self.page.until(&format!("{within} has {words}"), &format!("!!{find}"));
        self.page.value(&format!("{find}.click()"));
    }

    /// No request went elsewhere, and the browser has no errors but the refusals that were to be.
    fn ends_well(mut self) {
        let refused = |c: &str, (status, path): (u16, &str)| {
            c.contains(&format!("a status of {status} ")) && c.contains(path)
        };
        let meant = |c: &str| self.refusals.iter().any(|&r| refused(c, r));
        let wrong: Vec<&String> = self.page.complaints.iter().filter(|c| !meant(c)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        // Sooner than one by one, when the node ends.
        self.page.value(
            "(async () => {
                const headers = { authorization: `Bearer ${sessionStorage.getItem('microvisor-token')}` };
                const all = (await (await fetch('/v1/instances?limit=1000', { headers })).json()).instances.values();
                const work = async () => { for (const i of all) await fetch(`/v1/instances/${i.name}?force=true`, { method: 'DELETE', headers }); };
                await Promise.all([1, 2, 3, 4, 5, 6].map(work));
            })()",
        );
    }
}

/// Rows of a list that are in the document.
const ROWS: &str = "document.querySelectorAll('.grid-instances .body .row').length";
/// The list's number of rows, with the head.
const COUNT: &str = "document.querySelector('.grid-instances').ariaRowCount";
/// Names of rows in sight, from the top.
const NAMES: &str = "[...document.querySelectorAll('.grid-instances .body .row')].map((r) => r.dataset.key)";
