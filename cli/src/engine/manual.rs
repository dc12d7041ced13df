//! The manual of elements, from what is written on their types.

use crate::output::{self, Failure};
use crate::suggestion::did_you_mean;
use click::element::Class;
use machine::status;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// An element's page.
#[derive(Serialize)]
struct Page {
    name: &'static str,
    subject: &'static str,
    ports: &'static str,
    processing: &'static str,
    keywords: &'static [&'static str],
    handlers: Vec<(&'static str, &'static str)>,
    /// Exists on a host only.
    host: bool,
    text: String,
}

fn text(class: &Class) -> String {
    let lines = class.manual.iter().map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

fn page((subject, class): (&'static str, &'static Class), host: bool) -> Page {
    let mode = |read, write| match (read, write) {
        (true, true) => "read and write",
        (true, false) => "read",
        _ => "write",
    };
    Page {
        name: class.name,
        subject,
        ports: class.ports,
        processing: class.processing,
        keywords: class.keywords,
        handlers: class.handlers.iter().map(|h| (h.name, mode(h.read, h.write))).collect(),
        host,
        text: text(class),
    }
}

fn pages() -> Vec<Page> {
    let mut pages: Vec<Page> = click::elements::manual().map(|class| page(class, false)).collect();
    for of_host in click_host::manual().map(|class| page(class, true)) {
        // What is there in both worlds, but not the same, has one page.
        match pages.iter_mut().find(|p| p.name == of_host.name) {
            Some(page) => page.also(&of_host),
            None => pages.push(of_host),
        }
    }
    pages.sort_by_key(|p| p.name.to_ascii_lowercase());
    pages
}

/// Names of all classes.
pub fn element_names() -> impl Iterator<Item = &'static str> {
    click::elements::manual().chain(click_host::manual()).map(|(_, class)| class.name)
}

impl Page {
    fn also(&mut self, of_host: &Self) {
        self.text = format!("{}\n\n# On a host\n{}", self.text.trim_end(), of_host.text);
        let missing =
            of_host.handlers.iter().filter(|h| !self.handlers.contains(h)).copied().collect::<Vec<_>>();
        self.handlers.extend(missing);
    }

    fn summary(&self) -> &str {
        let first = self.text.split("\n\n").next().unwrap_or("");
        first.lines().next().unwrap_or("")
    }

    fn markdown(&self) -> String {
        // Headings of the type's own documentation lie below the element's name.
        let text: String = self
            .text
            .lines()
            .map(|l| if l.starts_with('#') { format!("#{l}\n") } else { format!("{l}\n") })
            .collect();
        let mut page = format!("# {}\n\n{}\n", self.name, text.trim_end());
        if self.host {
            page.push_str("\nExists on a host only, in the program `click`: a guest refuses it.\n");
        }
        let _ = write!(page, "\n## Ports\n`{}`, `{}`\n", self.ports, self.processing);
        if !self.handlers.is_empty() {
            page.push_str("\n| handler | |\n|---|---|\n");
            for (name, mode) in &self.handlers {
                let _ = writeln!(page, "| `{name}` | {mode} |");
            }
        }
        page
    }
}

/// `microvisor elements`
pub fn elements(name: Option<&str>, json: bool, write: Option<&Path>) -> Result<(), Failure> {
    let pages = pages();
    if let Some(folder) = write {
        let failed = |e| Failure::new(format!("{}: {e}", folder.display()), status::HOST);
        return write_all(&pages, folder).map_err(failed);
    }
    let Some(name) = name else {
        return if json { output::json(&pages) } else { output::print(list(&pages)) };
    };
    let Some(page) = pages.iter().find(|p| p.name == name) else {
        let hint = did_you_mean(name, pages.iter().map(|p| p.name));
        let hint = hint.unwrap_or_else(|| "list all elements: microvisor elements".into());
        let message = format!("there is no element named {name}");
        return Err(Failure::new(message, status::CONFIGURATION_REFUSED).hint(hint));
    };
    if json { output::json(page) } else { output::print(page.markdown()) }
}

fn by_subject(pages: &[Page]) -> BTreeMap<&str, Vec<&Page>> {
    let mut subjects: BTreeMap<&str, Vec<&Page>> = BTreeMap::new();
    pages.iter().for_each(|p| subjects.entry(p.subject).or_default().push(p));
    subjects
}

fn list(pages: &[Page]) -> String {
    let width = pages.iter().map(|p| p.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (subject, pages) in by_subject(pages) {
        let _ = writeln!(text, "{subject}");
        for p in pages {
            let _ = writeln!(text, "  {:<width$}  {}", p.name, p.summary());
        }
    }
    text
}

/// The manual as files: a page an element, and a list of them.
fn write_all(pages: &[Page], folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut index =
        "# Elements\n\nMade by `make docs` from what is written on the types (`click/src/elements`, `click-host/src`).\n"
            .to_owned();
    for (subject, pages) in by_subject(pages) {
        let _ = write!(index, "\n## {subject}\n\n| element | |\n|---|---|\n");
        for p in &pages {
            let _ = writeln!(index, "| [{0}]({0}.md) | {1} |", p.name, p.summary());
        }
        for p in pages {
            std::fs::write(folder.join(format!("{}.md", p.name)), p.markdown())?;
        }
    }
    std::fs::write(folder.join("README.md"), index)
}
