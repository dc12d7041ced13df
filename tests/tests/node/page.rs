//! The page, in a real browser: a firewall is started from it, seen ready, its timeline looked at, and stopped.

use e2e::browser::Browser;
use e2e::net::Namespace;
use e2e::node::Node;
use e2e::{root, run};
use serde_json::{Value, json};
use std::process::Command;

/// A node with a network, and its page with a token that may do everything.
struct Site {
    // Before the node: the browser ends first.
    page: Browser,
    node: Node,
    host: Namespace,
}

impl Site {
    fn new() -> Self {
        let (node, host) = (Node::with(&["--listen", "127.0.0.1:0"]), Namespace::new());
        let network = json!({ "name": "blue", "subnet": "10.82.0.0/24", "gateway": "10.82.0.1",
            "host": { "tap": "blue", "netns": host.name, "address": "10.82.0.1/24" } });
        node.post("/v1/networks", &network).is(201);
        let token = node.post("/v1/tokens", &json!({ "name": "page", "role": "admin" })).is(201);
        let mut page = Browser::open(&format!("http://127.0.0.1:{}/", node.port()));
        page.until(
            "it asks for a token",
            "!!document.getElementById('access') && !document.getElementById('access').hidden",
        );
        page.fill("#token", token["token"].as_str().unwrap_or_default());
        page.click("#access button");
        page.until("it lists no instances", "!document.getElementById('none').hidden");
        Self { page, node, host }
    }

    /// Waits until an element that a selector finds has a text.
    #[track_caller]
    fn says(&mut self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        let any = format!("[...document.querySelectorAll({selector})].some((e) => e.textContent === {text})");
        self.page.until(&format!("{selector} says {text}"), &any);
    }

    /// No request went elsewhere, and the browser has no errors but the refusals that were to be.
    fn ends_well(self) {
        let refused = |c: &str, status: u16| c.contains(&format!("a status of {status} "));
        // The token and the Click file were wrong on purpose; an instance may end in the moment that it is looked at.
        let meant = |c: &str| {
            refused(c, 401) || refused(c, 422) || (refused(c, 409) && c.contains("/v1/instances/fw/inspect"))
        };
        let wrong: Vec<&String> = self.page.complaints.iter().filter(|c| !meant(c)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// What bars look like.
const BARS: &str = "[...document.querySelectorAll('#bars rect')].map((r) => r.getAttribute('width')).join() \
                    + document.getElementById('range').textContent";

#[test]
fn a_firewall_is_started_looked_at_and_stopped() {
    let mut site = Site::new();
    let page = &mut site.page;
    page.click("nav button[data-view=new]");
    page.until("images are listed", "document.getElementById('image').value === 'clickos'");
    page.until("a network is chosen", "document.getElementById('networks').value === 'blue'");
    let firewall = std::fs::read_to_string(root().join("examples/firewall.click")).expect("an example");
    page.fill("#name", "fw");
    page.fill("#config", &firewall.replacen("FromDevice", "FromDevise", 1));
    page.until(
        "the mistake is underlined",
        "document.querySelector('#marks mark')?.textContent === 'FromDevise'",
    );
    let line = firewall.lines().position(|l| l.contains("FromDevice")).expect("it is there") + 1;
    let said = page.value("document.getElementById('errors').innerText").to_string();
    assert!(said.contains(&format!("Line {line},")), "{said}");
    let under = page.value(
        "{ const [mark, text] = ['#marks mark', '#marks'].map((s) => document.querySelector(s)); \
         const above = mark.getBoundingClientRect().top - text.getBoundingClientRect().top + text.scrollTop; \
         Math.floor((above - 8) / 20) + 1 }",
    );
    assert_eq!(under, line, "it is underlined at its line");
    assert_eq!(page.value("document.querySelector('#numbers .bad').textContent.trim()"), line.to_string());
    page.click("#errors button");
    let chosen =
        "{ const c = document.getElementById('config'); c.value.slice(c.selectionStart, c.selectionEnd) }";
    assert_eq!(page.value(chosen), "FromDevise", "the list leads to its place");
    // What is sent all the same is refused in the API's own words, and nothing is made.
    page.click("#create > button");
    page.until("it is refused", "document.getElementById('news').className === 'bad'");
    page.fill("#config", &firewall);
    page.until("nothing is wrong any more", "!document.querySelector('#marks mark') && document.getElementById('verdict').textContent === 'No errors'");
    assert_eq!(page.value("document.getElementById('config').getAttribute('aria-invalid')"), "false");
    page.click("#create > button");
    page.until("it is ready", "!!document.querySelector('#instances td.ready')");
    page.until("its details are shown", "document.activeElement.id === 'h-details'");
    let made = site.node.get("/v1/instances/fw").is(200);
    assert!(site.host.pings(made["devices"][0]["address"].as_str().unwrap_or_default(), 3));

    // A look after the first packet: from now on the timeline is the same.
    page.value("document.activeElement.blur()");
    page.click("button[aria-label='details of fw']");
    page.until("its heading has the focus", "document.activeElement.id === 'h-details'");
    site.says("#bars text", "spawn");
    site.says("#bars text", "first-packet");
    let page = &mut site.page;
    page.value("document.getElementById('bars').focus()");
    let whole = page.value(BARS);
    page.press("+");
    let near = page.value(BARS);
    assert_ne!(whole, near, "a key zooms");
    page.press("ArrowRight");
    assert_ne!(near, page.value(BARS), "a key moves");
    page.press("0");
    assert_eq!(whole, page.value(BARS), "a key shows all");
    page.fill("#handler-name", "ping.count");
    page.click("#handler button");
    page.until("a handler is read", "document.getElementById('handler-value').textContent === '3'");
    site.says("#monitor td", "Guest memory, MiB");
    site.says("#counters td", "up");
    let page = &mut site.page;
    page.click("nav button[data-view=phases]");
    site.says("#statistics td", "boot");
    site.says("#percentiles text", "boot");

    let page = &mut site.page;
    page.click("nav button[data-view=instances]");
    page.until("it can be stopped", "!!document.querySelector('button[aria-label=\"stop fw\"]')");
    page.value("document.querySelector('button[aria-label=\"stop fw\"]').focus()");
    page.press("Enter");
    page.until("it has stopped", "!!document.querySelector('#instances td.stopped')");
    assert_eq!(site.node.get("/v1/instances/fw").is(200)["state"], "stopped");
    assert_eq!(page.value("document.activeElement.ariaLabel"), "details of fw", "the focus stays in the row");
    // What others do is seen without a reload.
    site.node.post("/v1/instances/fw/start", &Value::Null).is(200);
    page.until("it is ready again", "!!document.querySelector('#instances td.ready')");
    site.ends_well();
}

#[test]
fn networks_are_made_and_drawn_with_their_bonds() {
    let mut site = Site::new();
    for pair in [["l0", "p0"], ["l1", "p1"]] {
        site.host.ip(&["link", "add", pair[0], "type", "veth", "peer", "name", pair[1]]);
        pair.iter().for_each(|end| site.host.ip(&["link", "set", end, "up"]));
    }
    let page = &mut site.page;
    page.click("nav button[data-view=network]");
    page.fill("#network-name", "green");
    page.fill("#subnet", "10.83.0.0/24");
    page.click("#add-network button");
    site.says("#picture .net-name", "green, 10.83.0.0/24");
    assert_eq!(site.node.get("/v1/networks/green").is(200)["subnet"], "10.83.0.0/24");
    // One that somebody else makes, with a bond.
    let uplink = json!({ "interfaces": ["l0", "l1"], "netns": site.host.name, "mode": "active-backup" });
    site.node.post("/v1/networks", &json!({ "name": "red", "uplink": uplink })).is(201);
    site.says("#picture text", "red-uplink");
    site.says("#picture text", "red-uplink-l0");
    site.says("#picture text", "bond, active-backup, up");
    site.says("#ports td", "up, active");
    site.says("#ports td", "link of red-uplink");
    site.says("#picture text", "blue-host");
    site.host.ip(&["link", "set", "p0", "down"]);
    site.says("#ports td", "down, waiting");
    site.page.until("its wire is down", "!!document.querySelector('#picture .wire.down')");
    site.ends_well();
}

#[test]
fn the_page_is_confined_and_kept_by_its_tag() {
    let node = Node::new();
    let head = |path: &str, more: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-m", "10", "-o", "/dev/null", "-D", "-", "-H", more, "--unix-socket"]);
        run(curl.arg(node.folder.join("run/api.sock")).arg(format!("http://node{path}"))).out.to_lowercase()
    };
    for (path, kind) in
        [("/", "text/html"), ("/page/app.js", "text/javascript"), ("/page/style.css", "text/css")]
    {
        let first = head(path, "accept: */*");
        assert!(first.contains(" 200 ") && first.contains(&format!("content-type: {kind}")), "{first}");
        assert!(first.contains("content-security-policy: default-src 'self'"), "{first}");
        assert!(first.contains("x-content-type-options: nosniff"), "{first}");
        let tag = first.lines().find_map(|l| l.strip_prefix("etag: ")).expect("it has a tag").trim();
        assert!(head(path, &format!("if-none-match: {tag}")).contains(" 304 "));
    }
    assert!(head("/page/main.rs", "accept: */*").contains(" 404 "));
}
