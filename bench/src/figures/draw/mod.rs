//! Pictures of figures: SVG from [`canvas`], PNG from SVG. `plot` draws numbers, `diagram` what has none, [`style`] tells
//! configurations apart.

pub mod canvas;
mod diagram;
mod plot;
pub mod style;

use super::data::{Content, Figure};
use super::testbed::process::{Error, failed, finish};
use canvas::{Anchor, Canvas, FAINT, TOP, WIDTH, escape, wrap};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const FONT: &str = "DejaVu Sans, Liberation Sans, Arial, Helvetica, sans-serif";
/// Pixels of the PNG for each of the SVG.
const ZOOM: &str = "2";

/// A figure as SVG.
pub fn draw(figure: &Figure) -> String {
    let mut canvas = Canvas::default();
    let number = figure.figure.trim_start_matches("fig").trim_start_matches('0');
    canvas.bold((24.0, 32.0), 17.0, Anchor::Start, &format!("Figure {number}. {}", figure.caption));
    let h = &figure.host;
    let is_measured =
        !matches!(figure.content, Content::Model { .. } | Content::Mapping { .. } | Content::Words);
    if is_measured {
        let host = format!("{}, {} CPUs, Linux {}, {}", h.processor, h.cpus, h.kernel, h.virtualisation);
        canvas.text((24.0, 52.0), 11.5, Anchor::Start, FAINT, &host);
    }
    let height = match &figure.content {
        Content::Lines { x, y, series } => plot::lines(&mut canvas, x, y, series),
        Content::Bars { value, groups } => plot::bars(&mut canvas, value, groups),
        Content::Stacks { value, stacks } => plot::stacks(&mut canvas, value, stacks),
        Content::Model { phases } => diagram::model(&mut canvas, phases),
        Content::Mapping { columns, rows } => diagram::mapping(&mut canvas, columns, rows),
        Content::Words => TOP,
    };
    let height = notes(&mut canvas, height, figure, is_measured);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         font-family=\"{FONT}\" role=\"img\" aria-label=\"{}\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
        escape(&figure.caption),
        canvas.body
    )
}

/// What has to be known to read the picture; the height to its end.
fn notes(canvas: &mut Canvas, top: f64, figure: &Figure, is_measured: bool) -> f64 {
    let mut y = top + 8.0;
    let spread = "Marks and ends of bars are medians, thin lines reach from the 10th to the 90th percentile.";
    let sentences = is_measured.then(|| spread.to_owned()).into_iter().chain(figure.missing.iter().cloned());
    for sentence in sentences {
        for line in wrap(&sentence, 11.5, WIDTH - 48.0) {
            canvas.text((24.0, y), 11.5, Anchor::Start, FAINT, &line);
            y += 16.0;
        }
    }
    y + 8.0
}

/// The program that makes pictures of points from those of lines.
pub const CONVERTER: &str = "rsvg-convert";

/// Makes a PNG of an SVG, each a file.
pub fn rasterise(svg: &Path, png: &Path) -> Result<(), Error> {
    let mut command = Command::new(CONVERTER);
    command.args(["--format", "png", "--zoom", ZOOM, "--output"]).args([png, svg]).stdin(Stdio::null());
    let done = finish(&mut command, Duration::from_secs(60))?;
    if done.is_well { Ok(()) } else { failed(format!("{CONVERTER} {}: {}", svg.display(), done.err.trim())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_well_formed_and_something_is_written() {
        let mut figure = crate::figures::example();
        figure.caption = "a < b & \"c\"".into();
        let folder = std::env::temp_dir().join(format!("figure-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (svg, png) = (folder.join("a.svg"), folder.join("a.png"));
        let picture = |svg_text: &str| {
            std::fs::write(&svg, svg_text).unwrap();
            rasterise(&svg, &png).map(|()| std::fs::read(&png).unwrap())
        };
        let drawn = draw(&figure);
        let written = picture(&drawn).unwrap();
        assert!(written.starts_with(b"\x89PNG"));
        let width = u32::from_be_bytes(written[16..20].try_into().unwrap());
        assert_eq!(width, (WIDTH as u32) * 2);
        let empty = picture(&drawn.replace("<text", "<desc").replace("</text", "</desc")).unwrap();
        assert!(written.len() > empty.len() + 2000, "{} bytes, {} without text", written.len(), empty.len());
        let error = picture("<svg><text>").unwrap_err().to_string();
        assert!(error.contains(CONVERTER) && error.contains("a.svg"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
