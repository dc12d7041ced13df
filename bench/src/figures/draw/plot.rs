//! Drawings of numbers: lines, bars, and bars of phases.

use super::canvas::{Anchor, Canvas, FAINT, GRID, INK, TOP, WIDTH, width_of, wrap};
use super::style;
use crate::figures::data::{Axis, Better, Group, PhaseTime, Scale, Series, Stack, Stat};

/// From numbers to places.
struct Ruler {
    scale: Scale,
    numbers: (f64, f64),
    places: (f64, f64),
}

impl Ruler {
    /// Over all these numbers. Even rulers begin at 0.
    fn over(scale: Scale, numbers: impl Iterator<Item = f64> + Clone, places: (f64, f64)) -> Self {
        let most = numbers.clone().fold(f64::MIN_POSITIVE, f64::max);
        let least = numbers.filter(|n| *n > 0.0).fold(most, f64::min);
        let numbers = match scale {
            Scale::Linear => {
                let step = step(most);
                (0.0, (most / step).ceil() * step)
            }
            Scale::Log2 => (least, most.max(least * 2.0)),
            Scale::Log10 => (below(least), above(most)),
        };
        Self { scale, numbers, places }
    }

    fn place(&self, number: f64) -> f64 {
        let (least, most) = self.numbers;
        let share = match self.scale {
            Scale::Linear => (number - least) / (most - least),
            _ => (number.max(least) / least).ln() / (most / least).ln(),
        };
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let (least, most) = self.numbers;
        match self.scale {
            Scale::Linear => {
                let step = step(most);
                (0..=(most / step).round() as usize).map(|n| n as f64 * step).collect()
            }
            Scale::Log2 => {
                let count = (most / least).log2().round() as i32;
                // Beside each other there is room for some nine.
                let every = (count / 8 + 1) as usize;
                (0..=count).step_by(every).map(|n| least * 2f64.powi(n)).collect()
            }
            Scale::Log10 => {
                let mut ticks = vec![least];
                while let Some(next) = ticks.last().map(|t| after(*t)).filter(|next| *next <= most * 1.001) {
                    ticks.push(next);
                }
                ticks
            }
        }
    }
}

/// 1, 2 or 5 of a power of ten: some six of which reach `most`.
fn step(most: f64) -> f64 {
    let rough = most / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|n| *n >= rough).unwrap_or(power)
}

fn below(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor());
    [5.0, 2.0].into_iter().map(|n| n * power).find(|n| *n <= number).unwrap_or(power)
}

fn above(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|n| *n >= number).unwrap_or(10.0 * power)
}

/// 1, 2, 5, 10, 20, ...
fn after(number: f64) -> f64 {
    above(number * 1.01)
}

/// A number as short as can be: 65536 bytes are 64K.
fn short(number: f64, scale: Scale) -> String {
    match scale {
        Scale::Log2 if number >= 1024.0 * 1024.0 => format!("{}M", number / (1024.0 * 1024.0)),
        Scale::Log2 if number >= 1024.0 => format!("{}K", number / 1024.0),
        _ if number != 0.0 && number < 1.0 => format!("{number:.2}").trim_end_matches('0').to_owned(),
        _ => digits(number),
    }
}

/// Three digits, as far as they say something.
fn digits(number: f64) -> String {
    let text = if number >= 100.0 {
        format!("{number:.0}")
    } else if number >= 10.0 {
        format!("{number:.1}")
    } else if number >= 1.0 {
        format!("{number:.2}")
    } else {
        format!("{number:.3}")
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn title(axis: &Axis) -> String {
    let unit = if axis.unit.is_empty() { String::new() } else { format!(", {}", axis.unit) };
    let better = match axis.better {
        Some(Better::More) => " (more is better)",
        Some(Better::Less) => " (less is better)",
        None => "",
    };
    format!("{}{unit}{better}", axis.label)
}

/// A line for each configuration; where the drawing ends.
pub fn lines(canvas: &mut Canvas, x: &Axis, y: &Axis, series: &[Series]) -> f64 {
    let (left, right, bottom) = (78.0, 650.0, 480.0);
    let stats = series.iter().flat_map(|s| &s.points);
    let across = Ruler::over(x.scale, stats.clone().map(|p| p.x), (left + 14.0, right - 14.0));
    let ends = stats.flat_map(|p| [p.stat.p10, p.stat.p90]);
    let up = Ruler::over(y.scale, ends, (bottom, TOP + 6.0));
    for tick in up.ticks() {
        let at = up.place(tick);
        canvas.line((left, at), (right, at), GRID, 1.0, "");
        canvas.text((left - 8.0, at + 4.0), 12.0, Anchor::End, INK, &short(tick, y.scale));
    }
    for tick in across.ticks() {
        let at = across.place(tick);
        canvas.line((at, bottom), (at, bottom + 5.0), INK, 1.0, "");
        canvas.text((at, bottom + 20.0), 12.0, Anchor::Middle, INK, &short(tick, x.scale));
    }
    canvas.line((left, bottom), (right, bottom), INK, 1.0, "");
    canvas.text(((left + right) / 2.0, bottom + 42.0), 13.0, Anchor::Middle, INK, &title(x));
    canvas.upward((24.0, (TOP + bottom) / 2.0), 13.0, &title(y));
    for (n, s) in series.iter().enumerate() {
        let style = style::of(&s.key);
        // Marks of the same height stand a little beside each other.
        let aside = (n as f64 - (series.len() - 1) as f64 / 2.0) * 1.6;
        let at = |x: f64, y: f64| (across.place(x) + aside, up.place(y));
        for p in &s.points {
            spread(canvas, at(p.x, p.stat.p10), at(p.x, p.stat.p90), style.colour);
        }
        let points: Vec<_> = s.points.iter().map(|p| at(p.x, p.stat.median)).collect();
        canvas.path(&points, style.colour, 2.0, style.dash);
        points.iter().for_each(|point| canvas.marker(*point, style));
    }
    legend(canvas, series, right + 24.0);
    bottom + 60.0
}

/// A thin line with ends.
fn spread(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64), colour: &str) {
    canvas.line(from, to, colour, 1.2, "");
    let is_upright = from.0 == to.0;
    for (x, y) in [from, to] {
        let (dx, dy) = if is_upright { (3.0, 0.0) } else { (0.0, 3.0) };
        canvas.line((x - dx, y - dy), (x + dx, y + dy), colour, 1.2, "");
    }
}

/// Names, in the order in which the lines end.
fn legend(canvas: &mut Canvas, series: &[Series], left: f64) {
    let mut order: Vec<&Series> = series.iter().collect();
    let last = |s: &Series| s.points.last().map_or(0.0, |p| p.stat.median);
    order.sort_by(|a, b| last(b).total_cmp(&last(a)));
    canvas.text((left, TOP + 10.0), 11.5, Anchor::Start, FAINT, "in the order of the right ends");
    let mut y = TOP + 34.0;
    for s in order {
        let style = style::of(&s.key);
        canvas.line((left, y - 4.0), (left + 34.0, y - 4.0), style.colour, 2.0, style.dash);
        canvas.marker((left + 17.0, y - 4.0), style);
        for line in wrap(&s.label, 12.5, WIDTH - left - 60.0) {
            canvas.text((left + 44.0, y), 12.5, Anchor::Start, INK, &line);
            y += 17.0;
        }
        y += 9.0;
    }
}

/// Upright lines at an axis' ticks, down to its name below the drawing.
fn grid(canvas: &mut Canvas, value: &Axis, ruler: &Ruler, (left, right): (f64, f64), bottom: f64) {
    for tick in ruler.ticks() {
        let at = ruler.place(tick);
        canvas.line((at, TOP), (at, bottom), GRID, 1.0, "");
        canvas.text((at, bottom + 18.0), 12.0, Anchor::Middle, INK, &short(tick, value.scale));
    }
    canvas.text(((left + right) / 2.0, bottom + 40.0), 13.0, Anchor::Middle, INK, &title(value));
}

/// A bar for each configuration; where the drawing ends. Where powers of ten are even, there is no zero to begin at: a mark
/// stands for the bar.
pub fn bars(canvas: &mut Canvas, value: &Axis, groups: &[Group]) -> f64 {
    let (left, right) = (300.0, WIDTH - 110.0);
    let stats = groups.iter().flat_map(|g| &g.bars).flat_map(|b| [b.stat.p10, b.stat.p90]);
    let across = Ruler::over(value.scale, stats, (left, right));
    let rows: usize = groups.iter().map(|g| g.bars.len()).sum();
    let bottom = TOP + 26.0 * rows as f64 + 34.0 * groups.len() as f64;
    grid(canvas, value, &across, (left, right), bottom);
    let mut y = TOP;
    for group in groups {
        canvas.bold((24.0, y + 20.0), 13.0, Anchor::Start, &group.label);
        y += 28.0;
        for bar in &group.bars {
            let (style, middle) = (style::of(&bar.key), y + 13.0);
            canvas.text((left - 10.0, middle + 4.0), 12.5, Anchor::End, INK, &bar.label);
            let [low, median, high] = [bar.stat.p10, bar.stat.median, bar.stat.p90].map(|n| across.place(n));
            if value.scale == Scale::Linear {
                canvas.rect((left, y + 4.0), ((median - left).max(0.0), 18.0), style.colour, "none", 0.0);
                // Dark bars need a light line under the thin one.
                canvas.line((low, middle), (high, middle), "white", 4.0, "");
                spread(canvas, (low, middle), (high, middle), INK);
            } else {
                spread(canvas, (low, middle), (high, middle), style.colour);
                canvas.marker((median, middle), style);
            }
            let text = digits(bar.stat.median);
            canvas.text((high.max(median) + 10.0, middle + 4.0), 12.0, Anchor::Start, INK, &text);
            y += 26.0;
        }
        y += 6.0;
    }
    bottom + 58.0
}

/// Colours of phases: neighbours differ in hue and in lightness.
fn colour(phase: &str) -> &'static str {
    match phase {
        "request" | "create" => "#777777",
        "authorize" => "#000000",
        "schedule" | "devices" => "#cc79a7",
        "image" | "load" => "#e69f00",
        "network" | "memory" => "#56b4e9",
        "spawn" | "enter" => "#0072b2",
        "boot" | "configure" => "#009e73",
        "ready" => "#d55e00",
        "runtime" => "#f0e442",
        _ => "#bbbbbb",
    }
}

/// Puts phases that overlap beneath each other: the lane of each.
fn lanes(stack: &Stack) -> Vec<usize> {
    let mut ends: Vec<f64> = Vec::new();
    // Medians of neighbours may touch a little.
    let tolerance = stack.total.median * 0.002;
    let lane = |p: &PhaseTime| {
        let free = ends.iter().position(|end| *end <= p.start + tolerance);
        let lane = free.unwrap_or_else(|| {
            ends.push(0.0);
            ends.len() - 1
        });
        ends[lane] = p.start + p.stat.median;
        lane
    };
    stack.phases.iter().map(lane).collect()
}

const LANE: f64 = 34.0;

/// Phases one after the other, and a table of them; where the drawing ends.
pub fn stacks(canvas: &mut Canvas, value: &Axis, stacks: &[Stack]) -> f64 {
    let (left, right) = (24.0, WIDTH - 90.0);
    let ends = stacks.iter().flat_map(|s| [s.total.p10, s.total.p90]);
    let across = Ruler::over(value.scale, ends, (left, right));
    let placed: Vec<Vec<usize>> = stacks.iter().map(lanes).collect();
    let deep = |lanes: &Vec<usize>| lanes.iter().max().map_or(1, |most| most + 1) as f64;
    let bottom = TOP + placed.iter().map(|lanes| 48.0 + deep(lanes) * LANE).sum::<f64>();
    grid(canvas, value, &across, (left, right), bottom);
    let mut y = TOP;
    for (stack, lanes) in stacks.iter().zip(&placed) {
        canvas.bold((left, y + 20.0), 13.0, Anchor::Start, &stack.label);
        y += 28.0;
        for (p, lane) in stack.phases.iter().zip(lanes) {
            let (from, to) = (across.place(p.start), across.place(p.start + p.stat.median));
            let top = y + *lane as f64 * LANE;
            canvas.rect((from, top), ((to - from).max(0.8), LANE - 4.0), colour(&p.model), "white", 0.0);
            let is_dark = !matches!(colour(&p.model), "#f0e442" | "#e69f00" | "#56b4e9" | "#bbbbbb");
            let ink = if is_dark { "white" } else { INK };
            if to - from > width_of(&p.phase, 12.0) + 6.0 {
                canvas.text(((from + to) / 2.0, top + 20.0), 12.0, Anchor::Middle, ink, &p.phase);
            }
        }
        let below = y + deep(lanes) * LANE + 3.0;
        let [low, high] = [stack.total.p10, stack.total.p90].map(|n| across.place(n));
        spread(canvas, (low, below), (high, below), INK);
        let total = format!("{} {}", digits(stack.total.median), value.unit);
        canvas.bold((high + 8.0, below + 4.0), 12.5, Anchor::Start, &total);
        y += deep(lanes) * LANE + 20.0;
    }
    table(canvas, value, stacks, bottom + 64.0)
}

/// What follows the unit at the head of the table.
const HEADING: &str = " (10th to 90th percentile)";

/// Every phase in numbers.
fn table(canvas: &mut Canvas, value: &Axis, stacks: &[Stack], top: f64) -> f64 {
    let mut rows: Vec<&PhaseTime> = Vec::new();
    let is_same = |a: &PhaseTime, b: &PhaseTime| (&a.phase, &a.source) == (&b.phase, &b.source);
    for p in stacks.iter().flat_map(|s| &s.phases) {
        if !rows.iter().any(|row| is_same(row, p)) {
            rows.push(p);
        }
    }
    let whose = |row: &PhaseTime| match row.source.as_str() {
        "microvisor" => row.phase.clone(),
        source => format!("{}, {source}", row.phase),
    };
    let widest = |texts: &mut dyn Iterator<Item = String>, size| {
        texts.map(|text| width_of(&text, size)).fold(0.0, f64::max)
    };
    let first =
        62.0 + widest(&mut rows.iter().map(|row| whose(row)), 12.5).max(width_of(HEADING, 11.5) - 22.0);
    let wide = (WIDTH - 24.0 - first) / stacks.len().max(1) as f64;
    let column = |n: usize| first + (n as f64 + 1.0) * wide;
    let range = |stat: &Stat| match stat.n {
        1 => digits(stat.median),
        _ => format!("{}  ({} to {})", digits(stat.median), digits(stat.p10), digits(stat.p90)),
    };
    let all = || stacks.iter().flat_map(|s| s.phases.iter().map(|p| &p.stat).chain([&s.total]));
    // What does not fit beside its neighbour is written smaller, or without its spread.
    let sizes = [12.5, 11.0, 9.5];
    let fits = |size: &&f64| widest(&mut all().map(range), **size) + 12.0 < wide;
    let size = sizes.iter().find(fits).copied();
    let has_ranges = size.is_some();
    let cell = |stat: &Stat| if has_ranges { range(stat) } else { digits(stat.median) };
    let size = size.unwrap_or(sizes[0]);
    let names: Vec<Vec<String>> = stacks.iter().map(|s| wrap(&s.label, 12.0, wide - 16.0)).collect();
    let lines = names.iter().map(Vec::len).max().unwrap_or(1);
    let mut y = top + 16.0 * (lines - 1) as f64;
    let heading = format!("{}{}", value.unit, if has_ranges { HEADING } else { " (median)" });
    canvas.text((24.0, y), 11.5, Anchor::Start, FAINT, &heading);
    for (n, name) in names.iter().enumerate() {
        for (above, line) in name.iter().rev().enumerate() {
            canvas.bold((column(n), y - 16.0 * above as f64), 12.0, Anchor::End, line);
        }
    }
    for row in rows {
        y += 20.0;
        canvas.rect((24.0, y - 11.0), (14.0, 14.0), colour(&row.model), "none", 2.0);
        canvas.text((46.0, y), 12.5, Anchor::Start, INK, &whose(row));
        for (n, stack) in stacks.iter().enumerate() {
            if let Some(p) = stack.phases.iter().find(|p| is_same(p, row)) {
                canvas.text((column(n), y), size, Anchor::End, INK, &cell(&p.stat));
            }
        }
    }
    y += 24.0;
    canvas.line((24.0, y - 17.0), (WIDTH - 24.0, y - 17.0), INK, 1.0, "");
    canvas.bold((46.0, y), 12.5, Anchor::Start, "the whole");
    for (n, stack) in stacks.iter().enumerate() {
        canvas.bold((column(n), y), size, Anchor::End, &cell(&stack.total));
    }
    y + 30.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rulers_have_ticks_that_people_read() {
        let ruler =
            |scale, numbers: &'static [f64]| Ruler::over(scale, numbers.iter().copied(), (0.0, 100.0));
        assert_eq!(ruler(Scale::Linear, &[3.0, 27.0]).ticks(), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert_eq!(ruler(Scale::Log2, &[1.0, 8.0]).ticks(), [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(ruler(Scale::Log10, &[12.0, 180.0]).ticks(), [10.0, 20.0, 50.0, 100.0, 200.0]);
        assert_eq!(ruler(Scale::Log10, &[10.0, 1000.0]).place(100.0), 50.0);
        assert_eq!(short(65_536.0, Scale::Log2), "64K");
    }
}
