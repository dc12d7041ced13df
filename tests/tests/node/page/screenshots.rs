//! The pictures of `docs/page.md`: made by `make screenshots`.

use super::{PHONE, Site};
use e2e::node::spec;
use e2e::root;
use serde_json::json;
use std::process::{Command, Stdio};

/// Most bytes of a picture.
const LARGEST: u64 = 150_000;

/// Writes what is seen to `docs/page/NAME.png`.
fn shoot(site: &mut Site, name: &str) {
    let picture = site.page.picture();
    let path = root().join(format!("docs/page/{name}.png"));
    let file = std::fs::File::create(&path).expect("a file");
    let mut decode =
        Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(file).spawn().expect("coreutils");
    std::io::Write::write_all(&mut decode.stdin.take().expect("a pipe"), picture.as_bytes())
        .expect("it reads");
    assert!(decode.wait().expect("it ends").success());
    let size = std::fs::metadata(&path).expect("it is there").len();
    assert!(size < LARGEST, "{name}: {size}");
}

#[test]
#[ignore = "writes the pictures of docs/page.md"]
fn pictures_of_the_page() {
    std::fs::create_dir_all(root().join("docs/page")).expect("a folder");
    let mut site = Site::new();
    let subnet = json!({ "name": "green", "subnet": "10.83.0.0/16" });
    site.node.post("/v1/networks", &subnet).is(201);
    site.make(1000);
    for (at, name) in ["edge-a", "edge-b", "edge-c", "edge-d", "edge-e", "edge-f"].into_iter().enumerate() {
        let network = ["blue", "green"][at % 2];
        let labels = json!({ "app": "fw", "tier": "edge" });
        let made = spec(
            "firewall.click",
            &json!({ "name": name, "labels": labels, "devices": [{ "network": network }] }),
        );
        site.node.post("/v1/instances", &made).is(201);
    }
    for (name, rate) in [("load-1", "20000"), ("load-2", "700")] {
        let variables = json!({ "TARGET": "10.82.0.1", "RATE": rate, "LIMIT": "100000000" });
        let made = spec(
            "loadgen.click",
            &json!({ "name": name, "variables": variables, "labels": { "app": "load" } }),
        );
        site.node.post("/v1/instances", &made).is(201);
    }
    let crash = json!({ "name": "flapping", "config": "Idle -> Discard; DriverManager(wait 0.2s, stop);", "restart": "always", "labels": { "app": "nat" } });
    site.node.post("/v1/instances?wait=none", &crash).is(201);
    site.page.looks((1240, 720), false);
    site.page.goes("#/overview");
    site.page.value("new Promise((then) => setTimeout(then, 20000))");
    shoot(&mut site, "overview");
    site.page.goes("#/instances?sort=-pps");
    site.page.value("new Promise((then) => setTimeout(then, 4500))");
    shoot(&mut site, "instances");
    site.page.goes("#/instances?q=app%3Dfw&open=edge-a&tab=handlers&el=passed");
    site.page.until("it is there", "document.querySelectorAll('.manual p').length > 0");
    site.page.value("new Promise((then) => setTimeout(then, 2500))");
    shoot(&mut site, "handlers");
    site.page.looks((1240, 720), true);
    site.page.goes("#/network");
    site.page.value("new Promise((then) => setTimeout(then, 5000))");
    shoot(&mut site, "network-dark");
    site.page.goes("#/instances?q=app%3Dfw&open=edge-a&tab=config");
    site.page.until("it is there", "document.querySelector('.details textarea')?.value.length > 100");
    site.page.value(
        "{ const t = document.querySelector('.details textarea'); t.value = t.value.replace('Queue(1000)', 'Quewe(2000)').replace('dropped :: Counter', 'dropped :: AverageCounter'); t.dispatchEvent(new Event('input')); }",
    );
    site.page.looks((1100, 640), true);
    site.push(".details", "Show changes");
    site.page.until("it is wrong", "!!document.querySelector('.marks mark')");
    shoot(&mut site, "configuration-dark");
    site.page.looks(PHONE, false);
    site.page.goes("#/instances?sort=-pps");
    site.page.value("new Promise((then) => setTimeout(then, 2500))");
    shoot(&mut site, "phone");
}
