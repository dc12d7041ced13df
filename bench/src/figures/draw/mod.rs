//! Pictures of figures: SVG from [`canvas`], PNG from SVG. `plot` draws numbers, `diagram` what has none, [`style`] tells
//! configurations apart.

pub mod canvas;
mod diagram;
mod plot;
pub mod style;

use super::data::{Content, Figure};
use super::testbed::process::{Error, failed};
use canvas::{Anchor, Canvas, FAINT, TOP, WIDTH, escape, wrap};
use resvg::{tiny_skia, usvg};

const FONT: &str = "DejaVu Sans, Liberation Sans, Arial, Helvetica, sans-serif";
/// Pixels of the PNG for each of the SVG.
const ZOOM: f32 = 2.0;

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
}
