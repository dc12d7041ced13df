//! A canvas that writes SVG, and the measures and colours that all pictures have in common.

use super::style::{Marker, Style};
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
    /// SVG elements, in the order they were drawn.
    pub body: String,
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
    pub fn marker(&mut self, (x, y): (f64, f64), style: &Style) {
        let r = 5.0;
        let at = |dx: f64, dy: f64| (x + dx * r, y + dy * r);
        match style.marker {
            Marker::Circle => self.add(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" fill=\"{}\" stroke=\"white\"/>",
                style.colour
            )),
            Marker::Square => {
                self.shape(&[at(-0.9, -0.9), at(0.9, -0.9), at(0.9, 0.9), at(-0.9, 0.9)], style.colour);
            }
            Marker::Diamond => {
                self.shape(&[at(0.0, -1.3), at(1.3, 0.0), at(0.0, 1.3), at(-1.3, 0.0)], style.colour);
            }
            Marker::Up => self.shape(&[at(0.0, -1.2), at(1.2, 1.0), at(-1.2, 1.0)], style.colour),
            Marker::Down => self.shape(&[at(0.0, 1.2), at(1.2, -1.0), at(-1.2, -1.0)], style.colour),
            Marker::Cross => {
                self.line(at(-1.0, -1.0), at(1.0, 1.0), style.colour, 2.5, "");
                self.line(at(-1.0, 1.0), at(1.0, -1.0), style.colour, 2.5, "");
            }
            Marker::Plus => {
                self.line(at(-1.2, 0.0), at(1.2, 0.0), style.colour, 2.5, "");
                self.line(at(0.0, -1.2), at(0.0, 1.2), style.colour, 2.5, "");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 10.0, 50.0), ["one two", "three"]);
    }
}
