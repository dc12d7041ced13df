//! What axe-core finds: nothing, in any view, at any width, in light and dark.

use super::{DESK, PHONE, Site};
use e2e::root;
use serde_json::json;

/// All views, with something in them.
const VIEWS: [&str; 14] = [
    "overview",
    "instances",
    "instances?open=one",
    "instances?open=one&tab=start",
    "instances?open=one&tab=console",
    "instances?open=one&tab=config",
    "instances?open=one&tab=handlers",
    "instances?q=fw&pick=fw-0000",
    "new",
    "network",
    "images",
    "flavors",
    "events",
    "tokens",
];

#[test]
fn no_view_has_a_fault_of_accessibility_at_any_width() {
    let folder = root().join("target/axe/lib");
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten().next();
    let axe = found.and_then(|python| {
        std::fs::read_to_string(python.path().join("site-packages/axe_playwright_python/axe.min.js")).ok()
    });
    let Some(axe) = axe else { return eprintln!("NOT RUN: axe-core is not there: make test-packages") };
    let mut site = Site::new();
    site.make(30);
    let spec = json!({ "name": "one", "config": "c :: Counter; Idle -> c -> Discard;", "devices": [{ "network": "blue" }], "labels": { "app": "fw" } });
    site.node.post("/v1/instances", &spec).is(201);
    site.node.post("/v1/flavors", &json!({ "name": "small", "memory_mib": 8 })).is(201);
    site.page.value(&format!("{axe}\n;1"));
    // Colours depend on light and dark, all else on the width: all rules twice, those of colours in the other two.
    let (all, colours) = ("", ", runOnly: ['color-contrast']");
    for (size, dark, rules) in
        [(DESK, false, all), (DESK, true, colours), (PHONE, false, colours), (PHONE, true, all)]
    {
        site.page.looks(size, dark);
        for view in VIEWS {
            site.page.goes(&format!("#/{view}"));
            site.page.until("it is shown", "!!document.querySelector('main section')");
            // What it asks the node for is there.
            site.page.value("new Promise((then) => setTimeout(then, 150))");
            let faults = site.page.value(&format!(
                "axe.run(document, {{ resultTypes: ['violations']{rules} }}).then((r) => r.violations.map((v) => `${{v.id}}: ${{v.nodes.map((n) => n.target).join(' ')}}`).join('; '))",
            ));
            assert_eq!(faults, "", "{view}, {size:?}, dark: {dark}");
            let wide = site.page.value("document.documentElement.scrollWidth");
            assert!(wide.as_u64() <= Some(size.0.into()), "{view} is {wide} wide at {size:?}");
        }
    }
    site.ends_well();
}
