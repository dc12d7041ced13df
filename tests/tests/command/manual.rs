//! The manual of elements.

use e2e::{RunFolder, root, unique};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn pages(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let page = |e: fs::DirEntry| {
        (e.file_name().to_string_lossy().into_owned(), fs::read_to_string(e.path()).unwrap_or_default())
    };
    entries.map(page).collect()
}

#[test]
fn the_written_manual_is_what_the_types_say() {
    let (folder, to) = (RunFolder::new(), std::env::temp_dir().join(unique("manual")));
    folder.run(&["elements", "--write", &to.display().to_string()]).ends(0, "");
    let (fresh, kept) = (pages(&to), pages(&root().join("docs/elements")));
    let _ = fs::remove_dir_all(&to);
    assert!(fresh.len() > 100);
    assert!(fresh == kept, "docs/elements is not current: make docs");
}

#[test]
fn elements_are_listed_and_explained() {
    let folder = RunFolder::new();
    let list = folder.run(&["elements"]);
    assert!(list.out.contains("flow") && list.out.contains("IPRewriter"), "{list:?}");
    let page = folder.run(&["elements", "Queue"]);
    assert!(page.out.contains("CAPACITY") && page.out.contains("highwater_length"), "{page:?}");
    let json = folder.run(&["elements", "Queue", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap_or_default();
    assert_eq!((&value["subject"], &value["ports"]), (&"flow".into(), &"1/1-2".into()));
    folder.run(&["elements", "queue"]).ends(122, "did you mean Queue?");
}
