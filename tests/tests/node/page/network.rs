//! Networks: made, changed, drawn with their bonds; a picture of three hundred ports.

use super::{PHONE, Site};
use serde_json::json;

#[test]
fn networks_are_made_changed_and_drawn_with_their_bonds() {
    let mut site = Site::new();
    for pair in [["l0", "p0"], ["l1", "p1"]] {
        site.host.ip(&["link", "add", pair[0], "type", "veth", "peer", "name", pair[1]]);
        pair.iter().for_each(|end| site.host.ip(&["link", "set", end, "up"]));
    }
    site.page.goes("#/network");
    site.push(".bar", "New network");
    site.page.fill("#network-name", "green");
    site.page.fill("#subnet", "10.83.0.0/24");
    site.page.fill("dialog input[placeholder='fd00::/64']", "fd00:83::/64");
    site.push("dialog", "Create");
    site.says(".picture .net-name", "green, 10.83.0.0/24, fd00:83::/64, 0 ports");
    assert_eq!(site.node.get("/v1/networks/green").is(200)["subnet"], "10.83.0.0/24");
    site.page.click("button[aria-label='Change green']");
    site.page.until("it asks", "!!document.querySelector('dialog input')");
    site.page.fill("dialog input", "10.83.0.9");
    site.push("dialog", "Save");
    site.says(".picture .net-name", "green, 10.83.0.0/24, fd00:83::/64, gateway 10.83.0.9, 0 ports");
    site.page.click("button[aria-label='Delete green']");
    site.push("dialog", "Delete");
    site.says("#words", "Network green is deleted.");
    // One that somebody else makes, with a bond.
    let uplink = json!({ "interfaces": ["l0", "l1"], "netns": site.host.name, "mode": "active-backup" });
    site.node.post("/v1/networks", &json!({ "name": "red", "uplink": uplink })).is(201);
    site.says(".picture text", "red-uplink");
    site.says(".picture text", "red-uplink-l0");
    site.says(".picture .words", "bond, active-backup, …");
    site.says(".grid-ports .c-bond span", "up, active");
    site.says(".grid-ports .c-network span", "link of red-uplink");
    site.says(".picture text", "blue-host");
    site.host.ip(&["link", "set", "p0", "down"]);
    site.says(".grid-ports .c-bond span", "down, waiting");
    site.page.until("its wire is down", "!!document.querySelector('.picture .wire.down')");
    site.ends_well();
}

#[test]
fn a_picture_of_three_hundred_ports_is_grouped_searched_and_zoomed() {
    let mut site = Site::new();
    site.make(20);
    // The page draws what it is told: a switch of three hundred ports takes an answer, not three hundred guests.
    site.page.value(
        "{ const ask = window.fetch; let asked = 0;
           window.fetch = async (path, options) => {
               const answer = await ask(path, options);
               const list = path.startsWith('/v1/instances?limit');
               if (path !== '/v1/switch' && !list) return answer;
               const body = await answer.json();
               const name = (n) => `edge-${String(n).padStart(3, '0')}`, port = (n) => `port-${n}`;
               if (list) body.instances.push(...Array.from({ length: 300 }, (_, n) => ({ id: `i${n}`, name: name(n), state: 'ready', image: 'clickos', memory_mib: 16, labels: { app: ['fw', 'nat', 'lb'][n % 3] }, devices: [{ network: 'blue', port: port(n), mac: '02:00:00:00:00:01' }], restart: 'never', restarts: 0, created_unix_ns: 1 })));
               else {
                   asked += 1;
                   body.ports.push(...Array.from({ length: 300 }, (_, n) => ({ name: port(n), kind: 'vhost-user', device: 'socket', up: n !== 7, segment: 'blue', trunk: [], counters: { received: asked * n * 1000, received_bytes: 0, sent: 0, sent_bytes: 0, drops: {} } })));
               }
               return new Response(JSON.stringify(body), { status: 200, headers: { 'content-type': 'application/json' } });
           }; }",
    );
    // The list is read again when much has changed.
    site.page.value("(async () => (await import('/page/data.js')).reload())()");
    site.page.goes("#/network");
    site.says(".picture .group", "fw · 105");
    site.page.until("all are drawn", "document.querySelectorAll('.picture .box').length > 300");
    site.page
        .until("traffic is on the lines", "document.querySelectorAll('.picture .wire.busy').length > 200");
    let widths =
        "new Set([...document.querySelectorAll('.picture .wire.busy')].map((l) => l.style.strokeWidth)).size";
    assert!(site.page.value(widths).as_i64().expect("a number") > 5, "more traffic, a thicker line");
    assert!(site.page.value("document.querySelectorAll('.grid-ports .row').length").as_i64() < Some(60));
    site.page.fill(".bar input[type=search]", "edge-123");
    site.says(".count", "1 found");
    site.page.press("Enter");
    let seen = "{ const box = document.querySelector('.picture .found').getBoundingClientRect(), all = document.querySelector('.picture').getBoundingClientRect(); \
                 box.top > all.top && box.bottom < all.bottom && box.left > all.left && box.right < all.right }";
    site.page.until("what is found is in sight", seen);
    let view = "document.querySelector('.picture').getAttribute('viewBox')";
    let near = site.page.value(view);
    site.page.value("document.querySelector('.picture').focus()");
    site.page.press("-");
    assert_ne!(site.page.value(view), near);
    site.page.looks(PHONE, true);
    site.page.goes("#/network?by=none");
    site.page.until(
        "a phone has fewer columns",
        "Number(document.querySelector('.picture').getAttribute('viewBox').split(' ')[2]) < 420",
    );
    assert_eq!(site.page.value("document.documentElement.scrollWidth"), PHONE.0);
    site.ends_well();
}
