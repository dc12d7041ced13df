//! One instance: made from a template, its start, its console, its configuration, its handlers.

use super::Site;
use serde_json::{Value, json};

/// What bars look like.
const BARS: &str = "[...document.querySelectorAll('.details svg.zooms rect')].map((r) => r.getAttribute('width')).join() \
                    + document.querySelector('.details output').textContent";

/// Opens a tab of an instance's details.
fn tab(site: &mut Site, name: &str, tab: &str) {
    site.page.goes(&format!("#/instances?open={name}&tab={tab}"));
}

#[test]
fn a_firewall_is_started_from_a_template_asked_changed_and_stopped() {
    let mut site = Site::new();
    // It may end in the moment that it is asked.
    site.refusals.extend([(422, ""), (409, "/v1/instances/fw/"), (502, "/v1/instances/fw/")]);
    site.page.goes("#/new");
    site.page.until("templates are listed", "document.getElementById('template')?.options.length > 10");
    site.page.until("a device has a network", "document.querySelector('.device select')?.value === 'blue'");
    site.page.value(
        "{ const t = document.getElementById('template'); t.value = 'firewall'; t.dispatchEvent(new Event('change')); }",
    );
    site.says(".verdict", "No errors");
    let firewall = site.page.value("document.getElementById('config').value");
    let firewall = firewall.as_str().expect("text").to_owned();
    site.page.fill("#new-name", "fw");

    // An element of an unknown class, an argument that is none: the class is underlined, the list leads there.
    let wrong = firewall.replacen("Queue(1000)", "Quewe(1000)", 1);
    site.page.fill("#config", &wrong);
    site.page.until(
        "the mistake is underlined",
        "document.querySelector('.marks mark.error')?.textContent === 'Quewe'",
    );
    let line = wrong.lines().position(|l| l.contains("Quewe")).expect("it is there") + 1;
    let said = site.page.value("document.querySelector('.places').innerText").to_string();
    assert!(said.contains(&format!("Line {line},")), "{said}");
    let under = site.page.value(
        "{ const [mark, text] = ['.marks mark', '.marks'].map((s) => document.querySelector(s)); \
         const above = mark.getBoundingClientRect().top - text.getBoundingClientRect().top + text.scrollTop; \
         Math.floor((above - 8) / 20) + 1 }",
    );
    assert_eq!(under, line, "it is underlined at its line");
    site.page.click(".places button");
    let chosen =
        "{ const c = document.getElementById('config'); c.value.slice(c.selectionStart, c.selectionEnd) }";
    assert_eq!(site.page.value(chosen), "Quewe", "the list leads to its place");
    // What is sent all the same is refused in the API's own words, and nothing is made.
    site.push(".create", "Start");
    site.page.until("it is refused", "document.getElementById('news').className === 'bad'");
    site.page.fill("#config", &firewall);
    site.says(".verdict", "No errors");
    site.push(".create", "Start");
    site.says("#h-details", "fw");
    site.says(".details .state", "ready");
    let made = site.node.get("/v1/instances/fw").is(200);
    assert!(site.host.pings(made["devices"][0]["address"].as_str().unwrap_or_default(), 3));
    site.says(".details dt", "Peak memory");
    site.says(".details td", "up");

    // Its start.
    tab(&mut site, "fw", "start");
    site.says(".details svg.zooms text", "first-packet");
    site.says(".details td", "boot");
    let page = &mut site.page;
    page.value("document.querySelector('.details svg.zooms').focus()");
    let whole = page.value(BARS);
    page.press("+");
    let near = page.value(BARS);
    assert_ne!(whole, near, "a key zooms");
    page.press("ArrowRight");
    assert_ne!(near, page.value(BARS), "a key moves");
    page.press("0");
    assert_eq!(whole, page.value(BARS), "a key shows all");

    // Its console answers.
    tab(&mut site, "fw", "console");
    site.page.until(
        "one can type",
        "!!document.querySelector('.typing') && !document.querySelector('.typing').hidden",
    );
    site.page.fill(".typing input", "read ping.count");
    site.push(".typing", "Send");
    let said = "document.querySelector('.console').textContent";
    site.page.until("it has answered", &format!("/\\b3\\b/.test({said})"));

    // Its handlers, written and read, with the page of the manual.
    tab(&mut site, "fw", "handlers&el=dropped");
    site.says(".details h3", "dropped :: Counter");
    site.says(".manual p", "Counts packets and bytes.");
    tab(&mut site, "fw", "handlers&el=out");
    site.says(".details h3", "out :: Queue");
    let capacity =
        "[...document.querySelectorAll('.handler')].find((h) => h.firstChild.textContent === 'capacity')";
    site.page
        .until("its capacity is read", &format!("{capacity}?.querySelector('pre').textContent === '1000'"));
    site.page.value(&format!("{capacity}.querySelector('input').focus()"));
    site.page.fill(".handler input:focus", "77");
    site.page.press("Enter");
    site.page.until("it is written", &format!("{capacity}?.querySelector('pre').textContent === '77'"));

    // Another configuration: what differs, and then it runs, and the counters stay.
    tab(&mut site, "fw", "config");
    let text = ".details textarea";
    site.page.until(
        "its configuration is there",
        &format!("document.querySelector('{text}')?.value.length > 100"),
    );
    site.page.fill(text, &firewall.replacen("Queue(1000)", "Queue(500)", 1));
    site.push(".details", "Show changes");
    site.page.until(
        "what comes is shown",
        "document.querySelector('.diff ins')?.textContent.includes('Queue(500)')",
    );
    site.page.until(
        "what goes is shown",
        "document.querySelector('.diff del')?.textContent.includes('Queue(1000)')",
    );
    site.push(".details", "Swap");
    site.says("#words", "fw runs the new configuration.");
    let spec = site.node.get("/v1/instances/fw/spec").is(200);
    assert!(spec["config"].as_str().unwrap_or_default().contains("Queue(500)"));
    let capacity = site.node.get("/v1/instances/fw/handlers/out.capacity").is(200);
    assert_eq!(capacity["value"].as_str().map(str::trim), Some("500"));

    // Labels, then the end.
    site.page.goes("#/instances?open=fw");
    site.push(".details", "Change labels or policy");
    site.page.fill("dialog textarea", "app=edge\nnote=<b>x</b>");
    site.push("dialog", "Save");
    site.says(".details dd", "app=edge note=<b>x</b>");
    site.push(".details .buttons", "Stop");
    site.says(".details .state", "stopped");
    assert_eq!(site.node.get("/v1/instances/fw").is(200)["state"], "stopped");
    // What others do is seen without a reload.
    site.node.post("/v1/instances/fw/start", &Value::Null).is(200);
    site.says(".details .state", "ready");
    site.page.looks(super::PHONE, true);
    site.page
        .until("it fits a phone", "document.querySelector('.details').getBoundingClientRect().width === 390");
    site.ends_well();
}

#[test]
fn words_are_completed_and_mistakes_of_all_kinds_are_shown_in_order() {
    let mut site = Site::new();
    site.page.goes("#/new");
    site.page.until("the editor is there", "!!document.getElementById('config')");
    site.page.fill("#config", "in :: FromDevice(eth0) -> Classi");
    site.page.until(
        "classes are offered",
        "document.querySelector('.completion li b')?.textContent === 'Classifier'",
    );
    site.page.press("Tab");
    site.page.until("the word is whole", "document.getElementById('config').value.endsWith('-> Classifier')");
    site.page.fill("#config", "x :: RatedSource(RA");
    site.page
        .until("its arguments are", "document.querySelector('.completion li b')?.textContent === 'RATE'");
    site.page.press("ArrowDown");
    assert_eq!(
        site.page.value("document.querySelector('.completion [aria-selected=true] b').textContent"),
        "RATE"
    );
    site.page.press("Escape");
    assert_eq!(site.page.value("document.querySelector('.completion').hidden"), true);
    site.page
        .fill("#config", "a :: Quewe -> Discard;\nIdle -> Strip(x) -> Discard;\nq :: Queue(1) -> Discard(");
    site.page.until("errors are listed", "document.querySelectorAll('.places li').length > 0");
    let lines = "[...document.querySelectorAll('.places li')].map((l) => Number(/Line (\\d+)/.exec(l.textContent)[1]))";
    let sorted = format!("{{ const l = {lines}; l.join() === [...l].sort((a, b) => a - b).join() }}");
    assert_eq!(site.page.value(&sorted), true);
    // Warnings too.
    site.page.fill("#config", "Idle -> SortedIPLookup(0/0 0) -> Discard;");
    site.page.until("a warning is underlined", "!!document.querySelector('.marks mark.warning')");
    site.says(".verdict", "No errors, 1 warning");
    site.ends_well();
}

#[test]
fn what_tenants_write_stays_text() {
    let mut site = Site::new();
    let evil = "<img src=/x onerror=document.title='owned'>";
    let spec = json!({ "name": "evil", "labels": { "app": evil }, "devices": [{ "network": "blue" }],
        "config": format!("Idle -> m :: Message(\"{evil}\\33[31m\") -> Discard; Script(print \"{evil}\");") });
    site.node
        .post("/v1/instances?wait=none", &json!({ "name": "plain", "config": "Idle -> Discard;" }))
        .is(201);
    let made = site.node.post("/v1/instances", &spec);
    if made.status != 201 {
        // Without the message, whose class a guest may refuse.
        let spec = json!({ "name": "evil", "labels": { "app": evil }, "devices": [{ "network": "blue" }],
            "config": format!("Idle -> Discard; Script(print \"{evil}\");") });
        site.node.post("/v1/instances", &spec).is(201);
    }
    site.refusals.push((409, "/v1/instances/"));
    site.page.goes("#/instances?open=evil");
    site.says(".details dd", &format!("app={evil}"));
    site.says(".c-labels span", &format!("app={evil}"));
    site.page.goes("#/instances?open=evil&tab=console");
    site.page.until("it has said so", "document.querySelector('.console')?.textContent.includes('onerror')");
    site.page.goes(&format!("#/instances?q={}", "%3Cimg+src%3D%2Fx+onerror%3Dalert(1)%3E"));
    site.says(".pane .empty", "No instance fits the filter.");
    site.page.goes("#/network?by=app");
    site.page.until("its group is drawn", "!!document.querySelector('.picture .box')");
    // Addresses that name what is no view, tab, column or label of ours.
    for place in
        ["#/constructor", "#/instances?open=evil&tab=__proto__&sort=constructor", "#/network?by=constructor"]
    {
        site.page.goes(place);
        site.page.until("it is shown", "!!document.querySelector('main section')");
    }
    assert_eq!(site.page.value("document.querySelectorAll('img').length"), 0);
    assert_ne!(site.page.value("document.title"), "owned");
    site.ends_well();
}
