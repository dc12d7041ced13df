//! Who may do what, and what is seen while the node is away.

use super::{COUNT, Site};
use serde_json::json;

#[test]
fn what_a_role_may_not_do_is_not_offered() {
    let mut site = Site::of("read");
    let made = json!({ "name": "one", "config": "c :: Counter; Idle -> c -> Discard;" });
    site.node.post("/v1/instances", &made).is(201);
    site.says("#who", "page (read)");
    let views =
        "[...document.querySelectorAll('nav a')].filter((a) => !a.hidden).map((a) => a.textContent).join()";
    assert_eq!(site.page.value(views), "Overview,Instances,Network,Images,Flavors,Events");
    site.page.goes("#/instances?open=one");
    site.says(".details .state", "ready");
    let offered = "[...document.querySelectorAll('main :is(button, a.button, input[type=checkbox])')].filter((b) => b.checkVisibility()).map((b) => b.textContent || b.type).join()";
    let offered = site.page.value(offered).to_string();
    for word in ["Start", "Stop", "Restart", "Delete", "New", "Change", "checkbox"] {
        let words = offered.split(',').filter(|w| *w == word || w.starts_with(&format!("{word} ")));
        // A tab is named for the start.
        assert_eq!(words.count(), usize::from(word == "Start"), "{word}: {offered}");
    }
    site.page.click(".grid-instances .body .c-menu button");
    site.says(".menu button", "Console");
    assert_eq!(site.page.value("document.querySelectorAll('.menu button').length"), 2);
    site.page.press("Escape");
    site.page.goes("#/instances?open=one&tab=handlers&el=c");
    site.says(".details h3", "c :: Counter");
    site.page.until("it is read", "document.querySelectorAll('.handler').length > 5");
    assert_eq!(site.page.value("document.querySelectorAll('.handler form').length"), 0);
    site.page.goes("#/instances?open=one&tab=console");
    site.page.until("one cannot type", "document.querySelector('.typing')?.hidden === true");
    site.page.goes("#/instances?open=one&tab=config");
    site.page.until("one cannot edit", "document.querySelector('.details textarea')?.readOnly === true");
    for view in ["network", "images", "flavors"] {
        site.page.goes(&format!("#/{view}"));
        site.page.until("it is shown", "!!document.querySelector('main section')");
        let changes = "[...document.querySelectorAll('main button')].filter((b) => b.checkVisibility() && /New|Import|Delete|Change/.test(b.textContent)).length";
        assert_eq!(site.page.value(changes), 0, "{view}");
    }
    site.page.goes("#/tokens");
    site.says("main", "This takes the role admin; the token’s role is read.");
    site.ends_well();
}

#[test]
fn an_outage_freezes_the_list_and_leaves_nothing_behind() {
    let mut site = Site::new();
    site.make(50);
    site.page.goes("#/instances?open=fw-0000&pick=fw-0004");
    site.page.until("all are listed", &format!("{COUNT} === '51'"));
    site.says(".bulk b", "1 selected");
    site.node.kill();
    site.page.until("there is a banner", "!document.getElementById('outage').hidden");
    let said = site.page.value("document.getElementById('outage').textContent").to_string();
    assert!(said.contains("has not answered since"), "{said}");
    assert_eq!(site.page.value(COUNT), "51", "the list stays");
    let actions = "[...document.querySelectorAll('.bulk button, .details .buttons button')].filter((b) => !b.disabled && b.textContent !== 'More').length";
    site.page.until("nothing can be done", &format!("{actions} === 0"));
    // What happens meanwhile is there afterwards.
    site.node.start();
    site.node.ask("DELETE", "/v1/instances/fw-0008", None, &[]).is(204);
    site.page.until("the banner is gone", "document.getElementById('outage').hidden");
    site.page.until("the list is true", &format!("{COUNT} === '50'"));
    site.says("#live", "live");
    site.says(".bulk b", "1 selected");
    site.page.until("things can be done", &format!("{actions} > 3"));
    assert_eq!(site.page.value("document.getElementById('news').hidden"), true, "no message is left");
    assert_eq!(site.page.value("document.body.className"), "");
    // It goes on living.
    site.node.ask("DELETE", "/v1/instances/fw-0012", None, &[]).is(204);
    site.page.until("events come again", &format!("{COUNT} === '49'"));
    site.page.complaints.retain(|c| {
        !c.contains("ERR_CONNECTION_REFUSED")
            && !c.contains("ERR_INCOMPLETE_CHUNKED")
            && !c.contains("ERR_EMPTY_RESPONSE")
            && !c.contains("ERR_CONNECTION_RESET")
    });
    site.ends_well();
}
