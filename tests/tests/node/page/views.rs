//! Overview, images, flavors, events, tokens.

use super::Site;
use e2e::{eventually, root};
use serde_json::json;

#[test]
fn the_overview_says_how_the_node_is() {
    let mut site = Site::new();
    site.make(8);
    site.node.post("/v1/instances", &json!({ "name": "one", "config": "Idle -> Discard;" })).is(201);
    site.page.goes("#/overview");
    site.says(".states a", "9 instances");
    site.says(".states a", "8 stopped");
    site.says("[data-card=starts] b", "1");
    site.page.until(
        "starts are bars",
        "[...document.querySelectorAll('.minutes rect')].some((r) => Number(r.getAttribute('height')) > 0)",
    );
    site.says(".overview td", "boot");
    site.says(".overview svg.zooms text", "boot");
    site.says(".overview td", "instance.ready");
    site.page.until(
        "the processors are measured",
        "/\\d %/.test(document.querySelector('[data-card=cpu] b').textContent)",
    );
    site.page.until(
        "a line is drawn",
        "document.querySelector('[data-card=cpu] .line').getAttribute('d').includes('L')",
    );
    // What happens is there at once.
    site.node.post("/v1/instances/one/stop", &json!(null)).is(200);
    site.says(".states a", "9 stopped");
    site.page.click(".states a.failed");
    site.says(".pane .empty", "No instance fits the filter.");
    assert_eq!(site.page.value("location.hash"), "#/instances?state=failed");
    site.ends_well();
}

#[test]
fn images_flavors_and_tokens_are_made_and_removed() {
    let mut site = Site::new();
    site.refusals.push((422, "/v1/flavors"));
    site.page.goes("#/flavors");
    site.page.until("there are none", "document.querySelector('main .empty')?.hidden === false");
    site.push("main", "New flavor");
    site.page.fill("dialog input", "no name");
    site.push("dialog", "Create");
    site.page.until(
        "it is refused, and stays",
        "document.querySelector('.refusal').textContent.includes('cannot name a flavor')",
    );
    site.page.fill("dialog input", "small");
    site.push("dialog", "Create");
    site.says("main td", "small");
    site.push("main", "Delete");
    site.push("dialog", "Delete");
    site.page.until("it is gone", "document.querySelector('main .empty').hidden === false");

    site.page.goes("#/tokens");
    site.says("main td", "page");
    site.push("main", "New token");
    site.page.fill("dialog input", "prometheus");
    site.push("dialog", "Create");
    site.page.until("it is shown once", "document.querySelector('.secret')?.textContent.startsWith('mv-')");
    site.push("dialog", "Close");
    site.says("main td", "prometheus");
    site.page.click("button[aria-label='Delete prometheus']");
    site.push("dialog", "Delete");
    eventually("it is gone", || site.node.get("/v1/tokens").json.as_array().is_some_and(|t| t.len() == 1));

    site.page.goes("#/images");
    site.says("main td", "clickos");
    assert_eq!(
        site.page.value("[...document.querySelectorAll('main tbody button')].length"),
        0,
        "what comes with it stays"
    );
    let image = root().join("target/images/hello");
    let name = "/v1/images?name=mine";
    let sent = std::process::Command::new("curl")
        .args(["-s", "-m", "20", "-X", "POST", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary"])
        .arg(format!("@{}", image.display()))
        .arg("--unix-socket")
        .arg(site.node.folder.join("run/api.sock"))
        .arg(format!("http://node{name}"))
        .output()
        .expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&sent.stdout), "201");
    site.says("main td", "mine");
    site.push("main", "Delete");
    site.push("dialog", "Delete");
    site.page.until(
        "it is gone",
        "![...document.querySelectorAll('main td')].some((t) => t.textContent === 'mine')",
    );
    site.ends_well();
}

#[test]
fn events_are_listed_filtered_and_followed() {
    let mut site = Site::new();
    site.make(600);
    site.page.goes("#/events");
    site.page.until("the last are there", "document.querySelector('.grid-events')?.ariaRowCount === '501'");
    site.push(".bar", "Older events");
    site.page.until("older ones too", "Number(document.querySelector('.grid-events').ariaRowCount) > 601");
    site.page.fill(".bar input", "network.created");
    site.page.until("a filter is in force", "document.querySelector('.grid-events').ariaRowCount === '2'");
    assert_eq!(site.page.value("location.hash"), "#/events?q=network.created");
    site.page.fill(".bar input", "newest");
    site.node
        .post("/v1/instances?defer=true", &json!({ "name": "newest", "config": "Idle -> Discard;" }))
        .is(201);
    site.says(".grid-events .c-subject span", "newest");
    site.page.value("document.querySelector('.grid-events').focus()");
    site.page.press("ArrowDown");
    site.page.press("Enter");
    site.says("#h-details", "newest");
    // The API has the newest of a kind, too.
    let last = site.node.get("/v1/events?last=2&kind=instance.created").is(200);
    assert_eq!(last[1]["subject"], "newest");
    let before = last[0]["seq"].as_u64().expect("a number");
    let former = site.node.get(&format!("/v1/events?last=1&before={before}")).is(200);
    assert!(former[0]["seq"].as_u64() < Some(before));
    site.ends_well();
}
