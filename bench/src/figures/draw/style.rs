//! How configurations are told apart, the same in every figure: the colours of Okabe and Ito, which the colour-blind can
//! tell apart, and, for print, a marker for each and dashes for all that is not the switch.

/// How a configuration is drawn.
#[derive(Debug)]
pub struct Style {
    /// Its short name.
    pub key: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// Its colour.
    pub colour: &'static str,
    /// Lengths of dashes and gaps; empty: none.
    pub dash: &'static str,
    /// Its marker.
    pub marker: Marker,
}

/// What stands at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Marker {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Cross,
    Plus,
}

const fn style(
    key: &'static str,
    label: &'static str,
    colour: &'static str,
    dash: &'static str,
    marker: Marker,
) -> Style {
    Style { key, label, colour, dash, marker }
}

const BLACK: &str = "#000000";
const GREY: &str = "#777777";
const ORANGE: &str = "#e69f00";
const SKY: &str = "#56b4e9";
const GREEN: &str = "#009e73";
const BLUE: &str = "#0072b2";
const VERMILION: &str = "#d55e00";
const PURPLE: &str = "#cc79a7";
// The last three are Tol's: there are more configurations than Okabe and Ito have colours.
const OLIVE: &str = "#999933";
const WINE: &str = "#882255";
const TEAL: &str = "#44aa99";

const SOLID: &str = "";
const DASHED: &str = "7 4";
const DOTTED: &str = "2 3";

/// All of them. A colour is what was changed; a guest on a TAP of its own is dashed, as is what is not a guest.
static STYLES: [Style; 19] = [
    style("native", "Linux, native", BLACK, SOLID, Marker::Circle),
    style("native-multipath", "Linux, native, two links (multipath)", BLACK, DASHED, Marker::Square),
    style("bridge", "Linux, behind a bridge (a container's path)", GREY, DASHED, Marker::Plus),
    style("stock", "Linux guest, QEMU/KVM", VERMILION, DOTTED, Marker::Diamond),
    style("tap", "Guest, TAP in the monitor", ORANGE, SOLID, Marker::Square),
    style("tap-no-offload", "Guest, TAP, offloads off", VERMILION, DASHED, Marker::Down),
    style("tap-jumbo", "Guest, TAP, MTU 9000", GREEN, DASHED, Marker::Up),
    style("tap-polling", "Guest, TAP, polling", SKY, DASHED, Marker::Diamond),
    style("tap-sleeping", "Guest, TAP, sleeping", PURPLE, DASHED, Marker::Cross),
    style("switch", "Guest, switch", BLUE, SOLID, Marker::Circle),
    style("switch-point-to-point", "Guest, switch, point-to-point", BLUE, DOTTED, Marker::Plus),
    style("switch-no-offload", "Guest, switch, offloads off", VERMILION, SOLID, Marker::Down),
    style("switch-jumbo", "Guest, switch, MTU 9000", GREEN, SOLID, Marker::Up),
    style("switch-polling", "Guest, switch, polling", SKY, SOLID, Marker::Diamond),
    style("switch-sleeping", "Guest, switch, sleeping", PURPLE, SOLID, Marker::Cross),
    style("switch-queue-64", "Guest, switch, queues of 64", OLIVE, DOTTED, Marker::Square),
    style("switch-queue-1024", "Guest, switch, queues of 1024", OLIVE, SOLID, Marker::Square),
    style("switch-bond", "Guest, switch, bond of two links", WINE, DASHED, Marker::Up),
    style("guests", "Two guests, switch between them", TEAL, DOTTED, Marker::Diamond),
];

/// How a configuration is drawn; unknown ones as native ones.
pub fn of(key: &str) -> &'static Style {
    STYLES.iter().find(|style| style.key == key).unwrap_or(&STYLES[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_configurations_are_drawn_alike() {
        let keys: BTreeSet<_> = STYLES.iter().map(|style| style.key).collect();
        let styles: BTreeSet<_> =
            STYLES.iter().map(|l| format!("{} {} {:?}", l.colour, l.dash, l.marker)).collect();
        assert_eq!((keys.len(), styles.len()), (STYLES.len(), STYLES.len()));
    }
}
