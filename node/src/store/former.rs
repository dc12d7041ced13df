//! Stores of earlier versions open, and nothing that they held is lost.

use super::{MIGRATIONS, Store};
use api::instance::State;
use rusqlite::Connection;

/// What the store of each version holds, the first first.
const FORMER: [&str; MIGRATIONS.len() - 1] = [
    include_str!("former/1.sql"),
    include_str!("former/2.sql"),
    include_str!("former/3.sql"),
    include_str!("former/4.sql"),
    include_str!("former/5.sql"),
];

#[test]
fn store_of_each_earlier_version_opens_with_all_that_it_held() {
    for (version, sql) in (1..).zip(FORMER) {
        let folder = tempfile::tempdir().unwrap();
        Connection::open(folder.path().join("node.db")).unwrap().execute_batch(sql).unwrap();
        // Twice: the second time there is nothing left to do.
        drop(Store::open(folder.path()).unwrap());
        let store = Store::open(folder.path()).unwrap();

        let rows = store.instances().unwrap();
        let names: Vec<&str> = rows.iter().map(|r| r.instance.name.as_str()).collect();
        let expected: &[&str] =
            if version == 1 { &["firewall", "idle"] } else { &["firewall", "idle", "sleeps"] };
        assert_eq!(names, expected, "version {version}");
        let firewall = &rows[0];
        assert_eq!((firewall.instance.state, firewall.instance.restarts), (State::Ready, 2));
        assert_eq!(firewall.running.as_ref().map(|r| (r.pid, r.boot.as_str())), Some((4711, "")));
        assert_eq!(firewall.spec.config.as_deref(), Some("FromDevice(eth0) -> Discard;"));
        assert_eq!(store.console(rows[1].instance.id).unwrap(), "its last words");

        assert_eq!(store.network("blue").unwrap().flood_limit, api::network::FLOOD_LIMIT);
        assert!(
            store.network("wire").unwrap().uplink.is_some_and(|u| u.interfaces.len() == 2 && !u.take_over)
        );
        assert_eq!(store.flavor("small").unwrap().memory_mib, Some(8));
        assert_eq!(store.images().unwrap().len(), 1);
        assert_eq!((store.last_event().unwrap(), store.events(0, 10).unwrap().len()), (7, 1));
        // The request was longer ago than keys are remembered.
        assert!(store.known_request("key").unwrap().is_none());
        let timelines = store.timelines(10).unwrap();
        assert_eq!((timelines.len(), timelines[0].timeline.spans.len()), (1, 3));
        assert_eq!(timelines[0].external.len(), usize::from(version > 1));
        assert_eq!(store.tokens().unwrap().len(), usize::from(version > 2));
        // Its address is its own still.
        assert!(store.take_address("blue", |taken| taken.contains("10.0.0.2".parse().unwrap())));
    }
}
