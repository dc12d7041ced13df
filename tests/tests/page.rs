//! The page, in a real browser: a firewall is started from it, seen ready, its timeline looked at, and stopped.

use e2e::browser::Browser;
use e2e::net::Namespace;
use e2e::node::Node;
use e2e::{eventually, root};
use serde_json::{Value, json};

/// The port that a daemon says it listens on.
fn port(node: &Node) -> String {
    let mut port = String::new();
    eventually("it says its port", || {
        let log: String = node.log().chars().filter(|c| !c.is_control()).collect();
        let Some((_, rest)) = log.split_once("127.0.0.1:") else { return false };
        port = rest.chars().take_while(char::is_ascii_digit).collect();
        !port.is_empty()
    });
    port
}

#[test]
fn a_firewall_is_started_looked_at_and_stopped() {
    let (node, host) = (Node::with(&["--listen", "127.0.0.1:0"]), Namespace::new());
    let network = json!({ "name": "blue", "subnet": "10.82.0.0/24", "gateway": "10.82.0.1",
        "host": { "tap": "blue", "netns": host.name, "address": "10.82.0.1/24" } });
    node.post("/v1/networks", &network).is(201);
    let token = node.post("/v1/tokens", &json!({ "name": "page", "role": "operate" })).is(201);
    let mut page = Browser::open(&format!("http://127.0.0.1:{}/", port(&node)));
    page.until(
        "it asks for a token",
        "!!document.getElementById('access') && !document.getElementById('access').hidden",
    );
    // The refusal is an error to the browser, and was to be.
    page.value("0");
    page.complaints.retain(|c| !c.contains("401"));
    page.fill("#token", token["token"].as_str().unwrap_or_default());
    page.click("#access button");
    page.until("it lists no instances", "!document.getElementById('none').hidden");

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
    page.fill("#config", &firewall);
    page.until("nothing is wrong any more", "!document.querySelector('#marks mark') && document.getElementById('config').getAttribute('aria-invalid') === 'false'");
    page.click("#create > button");
    page.until("it is ready", "!!document.querySelector('#instances td.ready')");
    let made = node.get("/v1/instances/fw").is(200);
    assert!(host.pings(made["devices"][0]["address"].as_str().unwrap_or_default(), 3));

    page.until(
        "its timeline is drawn",
        "[...document.querySelectorAll('#bars text')].some((t) => t.textContent === 'spawn')",
    );
    page.value("document.getElementById('bars').focus()");
    let before = page.value("document.querySelector('#bars text').textContent + [...document.querySelectorAll('#bars rect')].map((r) => r.getAttribute('width')).join()");
    page.press("+");
    let after = page.value("document.querySelector('#bars text').textContent + [...document.querySelectorAll('#bars rect')].map((r) => r.getAttribute('width')).join()");
    assert_ne!(before, after, "a key zooms");
    page.click("nav button[data-view=network]");
    page.until(
        "the network is drawn",
        "[...document.querySelectorAll('#picture text')].some((t) => t.textContent === 'fw')",
    );
    page.click("nav button[data-view=phases]");
    page.until(
        "phases are listed",
        "[...document.querySelectorAll('#statistics td')].some((t) => t.textContent === 'boot')",
    );

    page.click("nav button[data-view=instances]");
    page.click("button[aria-label='stop fw']");
    page.until("it has stopped", "!!document.querySelector('#instances td.stopped')");
    assert_eq!(node.get("/v1/instances/fw").is(200)["state"], "stopped");
    // What others do is seen without a reload.
    node.post("/v1/instances/fw/start", &Value::Null).is(200);
    page.until("it is ready again", "!!document.querySelector('#instances td.ready')");
    assert!(page.complaints.is_empty(), "{:?}", page.complaints);
}
