//! The page that shows all figures of a folder. It needs nothing but the files beside it.

use super::data::{Content, Figure, SCHEMA};
use super::draw::canvas::escape;
use super::testbed::process::{Error, failed};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
<title>MicroVisor: the figures</title>\n<style>\nbody { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }\n\
img { width: 100%; height: auto; border: 1px solid #ddd }\nfigure { margin: 3rem 0 }\nli { margin: .3rem 0 }\n\
code { background: #f2f2f2; padding: .1rem .3rem }\nfigcaption { font-size: .9rem }\n</style>\n<h1>The figures</h1>\n";

/// All figures in a folder, by number.
pub fn read(folder: &Path) -> Result<Vec<Figure>, Error> {
    let entries = std::fs::read_dir(folder).or_else(|e| failed(format!("{}: {e}", folder.display())))?;
    let mut figures: Vec<Figure> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("fig") && name.ends_with(".json")
        })
        .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok())
        .filter(|figure: &Figure| figure.schema == SCHEMA)
        .collect();
    figures.sort_by(|a, b| a.figure.cmp(&b.figure));
    Ok(figures)
}

/// Writes it; where it is.
pub fn write(folder: &Path) -> Result<PathBuf, Error> {
    let mut html = HEAD.to_owned();
    let figures = read(folder)?;
    html += "<nav><ol>\n";
    for f in &figures {
        let number = f.figure.trim_start_matches("fig").trim_start_matches('0');
        let _ = writeln!(
            html,
            "<li value=\"{number}\"><a href=\"#{}\">{}</a></li>",
            f.figure,
            escape(&f.caption)
        );
    }
    html += "</ol></nav>\n";
    for f in &figures {
        show(&mut html, f);
    }
    html += "</html>\n";
    let path = folder.join("index.html");
    match std::fs::write(&path, html) {
        Ok(()) => Ok(path),
        Err(e) => failed(format!("{}: {e}", path.display())),
    }
}

fn show(html: &mut String, f: &Figure) {
    let id = &f.figure;
    let _ = writeln!(
        html,
        "<figure id=\"{id}\"><img src=\"{id}.svg\" alt=\"{}\">\n<figcaption><ul>",
        escape(&f.caption)
    );
    for sentence in &f.compared {
        let _ = writeln!(html, "<li>{}</li>", escape(sentence));
    }
    for sentence in &f.missing {
        let _ = writeln!(html, "<li><strong>Missing:</strong> {}</li>", escape(sentence));
    }
    let h = &f.host;
    if !matches!(f.content, Content::Model { .. } | Content::Mapping { .. } | Content::Words) {
        let _ = writeln!(
            html,
            "<li>Host: {}, {} CPUs, {} MiB, Linux {}, {}; load {} when it was begun. {}.</li>",
            escape(&h.processor),
            h.cpus,
            h.memory_mib,
            escape(&h.kernel),
            escape(&h.virtualisation),
            h.load,
            escape(&h.placement)
        );
    }
    let versions: Vec<String> = f.versions.iter().map(|(name, said)| format!("{name}: {said}")).collect();
    let _ = writeln!(html, "<li>{}</li>", escape(&versions.join("; ")));
    let _ = writeln!(
        html,
        "<li><code>{}</code>, {:.0} s. Numbers: <a href=\"{id}.json\">JSON</a>; picture: <a href=\"{id}.svg\">SVG</a>, <a href=\"{id}.png\">PNG</a>.</li>\n</ul></figcaption></figure>",
        escape(&f.command),
        f.seconds
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_figure_of_its_folder_and_needs_nothing_from_elsewhere() {
        let folder = crate::figures::testbed::namespace::Folder::new().unwrap();
        let mut figure = crate::figures::example();
        figure.missing = vec!["a < b".into()];
        std::fs::write(folder.0.join("fig03.json"), serde_json::to_vec(&figure).unwrap()).unwrap();
        std::fs::write(folder.0.join("fig04.json"), "no figure").unwrap();
        let html = std::fs::read_to_string(write(&folder.0).unwrap()).unwrap();
        assert!(html.contains("fig03.svg") && html.contains("a &lt; b") && !html.contains("fig04"));
        assert!(!html.contains("http"), "{html}");
    }
}
