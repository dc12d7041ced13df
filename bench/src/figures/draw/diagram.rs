//! Drawings without numbers: the model as a row of boxes, and the mapping as a table.

use super::canvas::{Anchor, Canvas, FAINT, GRID, INK, TOP, WIDTH, wrap};
use crate::figures::data::ModelPhase;

/// Fill and edge of a place.
fn colours(place: &str) -> (&'static str, &'static str) {
    match place {
        "core" => ("#fdf0d5", "#e69f00"),
        "host" => ("#ddeefa", "#0072b2"),
        _ => ("#dcf3ec", "#009e73"),
    }
}

/// What a place is called.
fn name(place: &str) -> &'static str {
    match place {
        "core" => "core: once for all hosts",
        "host" => "host: the node and its monitor",
        _ => "guest: in the virtual machine",
    }
}

/// Phases in a row, their parts beneath them; where the drawing ends.
pub fn model(canvas: &mut Canvas, phases: &[ModelPhase]) -> f64 {
    let row: Vec<&ModelPhase> = phases.iter().filter(|p| p.within.is_none()).collect();
    let (left, gap, high) = (24.0, 14.0, 62.0);
    let wide = (WIDTH - 2.0 * left + gap) / row.len().max(1) as f64 - gap;
    let top = TOP + 34.0;
    for (n, p) in row.iter().enumerate() {
        let x = left + n as f64 * (wide + gap);
        step(canvas, p, (x, top), (wide, high));
        if n > 0 {
            let middle = top + high / 2.0;
            canvas.shape(&[(x - 11.0, middle - 6.0), (x - 2.0, middle), (x - 11.0, middle + 6.0)], INK);
        }
        if row.get(n.wrapping_sub(1)).is_none_or(|before| before.place != p.place) {
            let far = row[n..].iter().take_while(|q| q.place == p.place).count() as f64;
            let end = x + far * (wide + gap) - gap;
            canvas.line((x, top - 12.0), (end, top - 12.0), colours(&p.place).1, 3.0, "");
            canvas.bold(((x + end) / 2.0, top - 20.0), 11.5, Anchor::Middle, name(&p.place));
        }
    }
    let mut bottom = top + high;
    for (n, p) in row.iter().enumerate() {
        let parts: Vec<&ModelPhase> =
            phases.iter().filter(|q| q.within.as_deref() == Some(&p.name)).collect();
        let x = left + n as f64 * (wide + gap);
        for (m, part) in parts.iter().enumerate() {
            let y = top + high + 24.0 + m as f64 * (high + 10.0);
            let from = if m == 0 { top + high } else { y - 10.0 };
            canvas.line((x + wide / 2.0, from), (x + wide / 2.0, y), INK, 1.2, "");
            step(canvas, part, (x, y), (wide, high));
            bottom = bottom.max(y + high);
        }
    }
    let note =
        "Every instantiation is timed in these phases, on one clock; parts of a phase stand beneath it.";
    canvas.text((24.0, bottom + 34.0), 12.0, Anchor::Start, FAINT, note);
    bottom + 44.0
}

fn step(canvas: &mut Canvas, p: &ModelPhase, (x, y): (f64, f64), (wide, high): (f64, f64)) {
    let (fill, edge) = colours(&p.place);
    canvas.rect((x, y), (wide, high), fill, edge, 5.0);
    canvas.bold((x + wide / 2.0, y + 20.0), 12.0, Anchor::Middle, &p.name);
    for (n, line) in wrap(&p.meaning, 10.0, wide - 4.0).iter().enumerate() {
        canvas.text((x + wide / 2.0, y + 36.0 + n as f64 * 13.0), 10.0, Anchor::Middle, INK, line);
    }
}

/// Phases and who does them; where the drawing ends. Neighbours of the same name are one.
pub fn mapping(canvas: &mut Canvas, columns: &[String], rows: &[Vec<String>]) -> f64 {
    let (left, first, high) = (24.0, 130.0, 42.0);
    let wide = (WIDTH - 2.0 * left - first) / columns.len().saturating_sub(1).max(1) as f64;
    let x = |column: usize| if column == 0 { left } else { left + first + (column - 1) as f64 * wide };
    let top = TOP - 14.0;
    for (n, heading) in columns.iter().enumerate() {
        for (above, line) in wrap(heading, 11.5, wide - 14.0).iter().rev().enumerate() {
            canvas.bold((x(n) + 10.0, top + 22.0 - 14.0 * above as f64), 11.5, Anchor::Start, line);
        }
    }
    let place = |row: usize| top + 36.0 + row as f64 * high;
    for column in 1..columns.len() {
        let cell = |row: usize| rows[row].get(column).map_or("", String::as_str);
        let mut row = 0;
        while row < rows.len() {
            let same = (row..rows.len()).take_while(|r| cell(*r) == cell(row)).count();
            let (text, y, tall) = (cell(row), place(row), same as f64 * high);
            let (fill, edge) = if text.is_empty() {
                ("white", GRID)
            } else if text.contains("guest") {
                colours("guest")
            } else if row < 3 && column + 1 < columns.len() {
                colours("core")
            } else {
                colours("host")
            };
            canvas.rect((x(column) + 3.0, y + 3.0), (wide - 6.0, tall - 6.0), fill, edge, 5.0);
            let words = if text.is_empty() { "(one host: nothing to choose)" } else { text };
            let ink = if text.is_empty() { FAINT } else { INK };
            let lines = wrap(words, 11.0, wide - 14.0);
            let first = y + tall / 2.0 + 4.0 - (lines.len() as f64 - 1.0) * 6.5;
            for (n, line) in lines.iter().enumerate() {
                canvas.text(
                    (x(column) + wide / 2.0, first + n as f64 * 13.0),
                    11.0,
                    Anchor::Middle,
                    ink,
                    line,
                );
            }
            row += same;
        }
    }
    for (n, row) in rows.iter().enumerate() {
        let name = row.first().map_or("", String::as_str);
        canvas.bold((left + 10.0, place(n) + high / 2.0 + 4.0), 13.0, Anchor::Start, name);
    }
    place(rows.len()) + 20.0
}
