//! Pictures: a canvas that writes SVG, what all pictures have in common, and the way from SVG to PNG.

use super::data::{Content, Figure};
use super::host::{Error, failed};
use super::look::{Look, Marker};
use super::{diagram, plot};
use resvg::{tiny_skia, usvg};
use std::fmt::{Display, Write};

/// Width of every picture.
pub const WIDTH: f64 = 960.0;
/// Where titles end and drawings begin.
pub const TOP: f64 = 74.0;
/// Of what is written.
pub const INK: &str = "#1a1a1a";
/// Of what may be overlooked.
pub const FAINT: &str = "#666666";
/// Of lines that help the eye.
pub const GRID: &str = "#dddddd";
const FONT: &str = "DejaVu Sans, Liberation Sans, Arial, Helvetica, sans-serif";
/// Pixels of the PNG for each of the SVG.
const ZOOM: f32 = 2.0;

/// Where a text is held.
#[derive(Clone, Copy, Debug)]
pub enum Anchor {
    /// At its beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// A drawing in the making.
#[derive(Default)]
pub struct Canvas {
    body: String,
}

/// With what XML means otherwise written out.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Canvas {
    fn add(&mut self, element: impl Display) {
        let _ = writeln!(self.body, "{element}");
    }

    /// A text whose baseline is at a height.
    pub fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, colour: &str, text: &str) {
        self.styled((x, y), size, anchor, colour, "", text);
    }

    /// A bold one.
    pub fn bold(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str) {
        self.styled(at, size, anchor, INK, " font-weight=\"bold\"", text);
    }

    /// One that is read from below.
    pub fn upward(&mut self, (x, y): (f64, f64), size: f64, text: &str) {
        let turn = format!(" transform=\"rotate(-90 {x:.1} {y:.1})\"");
        self.styled((x, y), size, Anchor::Middle, INK, &turn, text);
    }

    fn styled(
        &mut self,
        (x, y): (f64, f64),
        size: f64,
        anchor: Anchor,
        colour: &str,
        more: &str,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{colour}\"{more}>{text}</text>"
        ));
    }

    /// A line with a width and dashes.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dash: &str) {
        self.path(&[from, to], colour, width, dash);
    }

    /// A line of several parts.
    pub fn path(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dash: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        self.add(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dash}/>",
            points.join(" ")
        ));
    }

    /// A box with round corners.
    pub fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), fill: &str, stroke: &str, round: f64) {
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"{stroke}\"/>"
        ));
    }

    /// A filled shape.
    pub fn shape(&mut self, points: &[(f64, f64)], fill: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!("<polygon points=\"{}\" fill=\"{fill}\" stroke=\"white\"/>", points.join(" ")));
    }

    /// A configuration's marker.
    pub fn marker(&mut self, (x, y): (f64, f64), look: &Look) {
        let r = 5.0;
        let at = |dx: f64, dy: f64| (x + dx * r, y + dy * r);
        match look.marker {
            Marker::Circle => self.add(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" fill=\"{}\" stroke=\"white\"/>",
                look.colour
            )),
            Marker::Square => {
                self.shape(&[at(-0.9, -0.9), at(0.9, -0.9), at(0.9, 0.9), at(-0.9, 0.9)], look.colour);
            }
            Marker::Diamond => {
                self.shape(&[at(0.0, -1.3), at(1.3, 0.0), at(0.0, 1.3), at(-1.3, 0.0)], look.colour);
            }
            Marker::Up => self.shape(&[at(0.0, -1.2), at(1.2, 1.0), at(-1.2, 1.0)], look.colour),
            Marker::Down => self.shape(&[at(0.0, 1.2), at(1.2, -1.0), at(-1.2, -1.0)], look.colour),
            Marker::Cross => {
                self.line(at(-1.0, -1.0), at(1.0, 1.0), look.colour, 2.5, "");
                self.line(at(-1.0, 1.0), at(1.0, -1.0), look.colour, 2.5, "");
            }
            Marker::Plus => {
                self.line(at(-1.2, 0.0), at(1.2, 0.0), look.colour, 2.5, "");
                self.line(at(0.0, -1.2), at(0.0, 1.2), look.colour, 2.5, "");
            }
        }
    }
}

/// About how wide a text is.
pub fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.58
}

/// Lines that are no wider than so much.
pub fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0.0, |line| width_of(line, size));
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if last + width_of(word, size) + size * 0.58 <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

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

/// A picture of points from one of lines.
pub fn rasterise(svg: &str) -> Result<Vec<u8>, Error> {
    let mut options = usvg::Options::default();
    options.fontdb_mut().load_system_fonts();
    let mut names: Vec<&String> =
        options.fontdb.faces().flat_map(|face| &face.families).map(|(name, _)| name).collect();
    names.sort_by_key(|name| *name != "DejaVu Sans");
    let Some(font) = names.first().map(|name| (*name).clone()) else {
        return failed("no font is installed to write with: apt-get install fonts-dejavu-core");
    };
    options.font_family = font;
    let tree = usvg::Tree::from_str(svg, &options).or_else(failed)?;
    let size = tree.size().to_int_size().scale_by(ZOOM);
    let pixmap = size.and_then(|size| tiny_skia::Pixmap::new(size.width(), size.height()));
    let Some(mut pixmap) = pixmap else { return failed("a picture is too large") };
    resvg::render(&tree, tiny_skia::Transform::from_scale(ZOOM, ZOOM), &mut pixmap.as_mut());
    pixmap.encode_png().or_else(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_well_formed_and_its_points_open() {
        let mut figure = crate::figures::example();
        figure.caption = "a < b & \"c\"".into();
        let svg = draw(&figure);
        usvg::Tree::from_str(&svg, &usvg::Options::default()).unwrap();
        let png = rasterise(&svg).unwrap();
        let picture = tiny_skia::Pixmap::decode_png(&png).unwrap();
        assert_eq!(picture.width(), (WIDTH as u32) * 2);
        let ink = picture.pixels().iter().filter(|p| p.red() < 128).count();
        assert!(ink > 1000, "something is written: {ink}");
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 10.0, 50.0), ["one two", "three"]);
    }
}
