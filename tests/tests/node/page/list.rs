//! A thousand instances: filter, order, selection, addresses, actions on many, and nothing jumps.

use super::{COUNT, NAMES, PHONE, ROWS, Site};
use serde_json::{Value, json};

/// An instance that does not run.
fn idle(name: &str) -> Value {
    json!({ "name": name, "config": "Idle -> Discard;" })
}

/// Rows that may be in the document at once.
const IN_SIGHT: i64 = 60;
/// Milliseconds that the list may take to become another, on a busy host.
const UPDATE_MS: f64 = 100.0;

#[test]
fn a_thousand_instances_are_filtered_sorted_selected_and_deleted() {
    let mut site = Site::new();
    site.page.goes("#/instances");
    site.page.until("it says that there are none", "!document.querySelector('.pane .empty').hidden");
    site.make(1000);
    site.page.until("all are listed", &format!("{COUNT} === '1001'"));
    assert!(
        site.page.value(ROWS).as_i64().expect("a number") < IN_SIGHT,
        "the others are not in the document"
    );

    // A filter, which is part of the address.
    site.page.fill("#filter", "app=fw -000");
    site.page.until("the filter is in force", &format!("{COUNT} === '248'"));
    assert_eq!(site.page.value("location.hash"), "#/instances?q=app%3Dfw+-000");
    site.says(".count", "247 of 1,000 instances");
    site.page.reload();
    site.page.until("a reload shows the same", &format!("document.querySelector('.grid-instances') && {COUNT} === '248' && document.getElementById('filter').value === 'app=fw -000'"));
    site.page.fill("#filter", "nothing");
    site.says(".pane .empty", "No instance fits the filter.");
    site.page.fill("#filter", "app=dns");
    site.page.until("another filter is", &format!("{COUNT} === '251'"));

    // Another order; Back is the one before.
    site.push(".grid-instances .head", "Name");
    site.page.until("it is the other way round", &format!("{NAMES}[0] === 'dns-0999'"));
    assert_eq!(
        site.page.value("document.querySelector('.c-name[role=columnheader]').ariaSort"),
        "descending"
    );
    site.page.value("history.back()");
    site.page.until("and back", &format!("{NAMES}[0] === 'dns-0003'"));

    // By the keyboard alone: two rows below each other, then all; the address knows them.
    site.page.value("document.querySelector('.grid-instances').focus()");
    site.page.press("ArrowDown");
    site.page.press(" ");
    site.page.press_with("ArrowDown", 8);
    site.says(".bulk b", "2 selected");
    assert!(site.page.value("location.hash").as_str().expect("text").ends_with("pick=dns-0003%2Cdns-0007"));
    let active = "document.getElementById(document.querySelector('.grid-instances').getAttribute('aria-activedescendant')).dataset.key";
    assert_eq!(site.page.value(active), "dns-0007");
    site.page.reload();
    site.says(".bulk b", "2 selected");
    site.page.value("document.querySelector('.grid-instances').focus()");
    site.page.press_with("a", 2);
    site.says(".bulk b", "250 selected");
    assert!(site.page.value("location.hash").as_str().expect("text").ends_with("pick=*"));

    // What is done to many is asked about first.
    site.push(".bulk", "Delete");
    site.says("dialog h2", "Delete 250 instances?");
    site.says("dialog li", "and 242 more");
    site.push("dialog", "Cancel");
    site.page.until("the dialog is gone", "!document.querySelector('dialog')");
    assert_eq!(site.page.value(COUNT), "251", "nothing was done");
    site.push(".bulk", "Delete");
    site.push("dialog", "Delete");
    site.says(".pane .empty", "No instance fits the filter.");
    site.says("#words", "Delete: 250 of 250 done.");
    site.page.fill("#filter", "");
    site.page.until("the others are there", &format!("{COUNT} === '751'"));
    let took = site.page.value("Number(document.querySelector('section.list').dataset.tookMs)");
    assert!(took.as_f64().expect("a number") < UPDATE_MS, "{took} ms");
    site.ends_well();
}

#[test]
fn nothing_jumps_when_others_change_instances() {
    let mut site = Site::new();
    site.make(300);
    site.page.goes("#/instances?sort=-name");
    site.page.until("all are listed", &format!("{COUNT} === '301'"));
    let first = "[...document.querySelectorAll('.grid-instances .body .row')].find((r) => r.getBoundingClientRect().top >= document.querySelector('.grid-instances .head').getBoundingClientRect().bottom)";
    let place = format!("`${{{first}.dataset.key}} ${{{first}.getBoundingClientRect().top}}`");
    site.page.value("document.querySelector('.grid-instances').scrollTop = 3210");
    site.page.until("it is scrolled", &format!("{NAMES}.length > 0 && !{NAMES}.includes('nat-0297')"));
    let before = site.page.value(&place);
    // Above and below what is in sight.
    for name in ["zz-1", "zz-2", "aa-1"] {
        site.node.post("/v1/instances?defer=true", &idle(name)).is(201);
    }
    site.page.until("they are there", &format!("{COUNT} === '304'"));
    assert_eq!(site.page.value(&place), before, "what is in sight stays");
    site.node.ask("DELETE", "/v1/instances/zz-1", None, &[]).is(204);
    site.page.until("one is gone", &format!("{COUNT} === '303'"));
    assert_eq!(site.page.value(&place), before);

    // The row that is meant stays the one, though it leaves the document.
    site.page.value("document.querySelector('.grid-instances').focus()");
    site.page.press("Home");
    site.page.press("ArrowDown");
    site.page.press(" ");
    site.says(".bulk b", "1 selected");
    site.page.value("document.querySelector('.grid-instances').scrollTop = 5000");
    site.node.post("/v1/instances?defer=true", &idle("zzz")).is(201);
    site.page.until("it is there", &format!("{COUNT} === '304'"));
    assert_eq!(site.page.value("document.activeElement.className"), "grid grid-instances", "the focus stays");
    site.page.press("ArrowDown");
    site.page.press("ArrowUp");
    let active = "document.querySelector('.grid-instances .row.active').dataset.key";
    assert_eq!(site.page.value(active), "nat-0297");
    assert_eq!(site.page.value("document.querySelector('.row.active').ariaSelected"), "true");
    site.ends_well();
}

#[test]
fn a_row_has_its_actions_in_a_menu_and_its_details_beside_it() {
    let mut site = Site::new();
    site.make(20);
    // It ends by itself, and is started again.
    let brief = json!({ "name": "brief", "config": "Idle -> Discard; DriverManager(wait 0.1s, stop);", "restart": "always" });
    site.node.post("/v1/instances?wait=none", &brief).is(201);
    for size in [super::DESK, PHONE] {
        site.page.looks(size, size == PHONE);
        site.page.goes("#/instances?q=fw-0000");
        site.page.until("it is listed", &format!("{NAMES}.join() === 'fw-0000'"));
        site.page.click(".grid-instances .body .c-menu button");
        site.says(".menu button", "Start");
        assert_eq!(site.page.value("document.activeElement.textContent"), "Start");
        site.page.press("Escape");
        site.page.until("the menu is closed", "!document.querySelector('.menu')");
        assert_eq!(site.page.value("document.activeElement.className"), "grid grid-instances");
        site.page.press("Enter");
        site.says("#h-details", "fw-0000");
        site.says(".details dd", "app=fw zone=z0");
        let beside = site.page.value("document.querySelector('.details').getBoundingClientRect().top < 100");
        assert_eq!(beside, true, "one need not scroll for them");
        site.page.value("history.back()");
        site.page.until("Back closes them", "document.querySelector('.details').hidden");
        assert_eq!(site.page.value("document.documentElement.scrollWidth"), size.0, "nothing is cut off");
    }
    site.page.looks(super::DESK, false);
    site.page.goes("#/instances?q=name:brief");
    site.page.until(
        "its restarts are counted",
        "Number(document.querySelector('.body .c-restarts')?.textContent) > 0",
    );
    site.page.until(
        "it is said why it failed",
        "document.querySelector('.body .c-reason').textContent.length > 10",
    );
    site.ends_well();
}
