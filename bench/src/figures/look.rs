//! How configurations are told apart, the same in every figure: the colours of Okabe and Ito, which the colour-blind can
//! tell apart, and, for print, a marker for each and dashes for all that is not the switch.

/// How a configuration is drawn.
#[derive(Debug)]
pub struct Look {
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

const fn look(
    key: &'static str,
    label: &'static str,
    colour: &'static str,
    dash: &'static str,
    marker: Marker,
) -> Look {
    Look { key, label, colour, dash, marker }
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
static LOOKS: [Look; 19] = [
    look("native", "Linux, native", BLACK, SOLID, Marker::Circle),
    look("native-multipath", "Linux, native, two links (multipath)", BLACK, DASHED, Marker::Square),
    look("bridge", "Linux, behind a bridge (a container's path)", GREY, DASHED, Marker::Plus),
    look("stock", "Linux guest, QEMU/KVM", VERMILION, DOTTED, Marker::Diamond),
    look("tap", "Guest, TAP in the monitor", ORANGE, SOLID, Marker::Square),
    look("tap-no-offload", "Guest, TAP, offloads off", VERMILION, DASHED, Marker::Down),
    look("tap-jumbo", "Guest, TAP, MTU 9000", GREEN, DASHED, Marker::Up),
    look("tap-polling", "Guest, TAP, polling", SKY, DASHED, Marker::Diamond),
    look("tap-sleeping", "Guest, TAP, sleeping", PURPLE, DASHED, Marker::Cross),
    look("switch", "Guest, switch", BLUE, SOLID, Marker::Circle),
    look("switch-wire", "Guest, switch, point-to-point", BLUE, DOTTED, Marker::Plus),
    look("switch-no-offload", "Guest, switch, offloads off", VERMILION, SOLID, Marker::Down),
    look("switch-jumbo", "Guest, switch, MTU 9000", GREEN, SOLID, Marker::Up),
    look("switch-polling", "Guest, switch, polling", SKY, SOLID, Marker::Diamond),
    look("switch-sleeping", "Guest, switch, sleeping", PURPLE, SOLID, Marker::Cross),
    look("switch-queue-64", "Guest, switch, queues of 64", OLIVE, DOTTED, Marker::Square),
    look("switch-queue-1024", "Guest, switch, queues of 1024", OLIVE, SOLID, Marker::Square),
    look("switch-bond", "Guest, switch, bond of two links", WINE, DASHED, Marker::Up),
    look("guests", "Two guests, switch between them", TEAL, DOTTED, Marker::Diamond),
];

/// How a configuration is drawn; unknown ones as native ones.
pub fn of(key: &str) -> &'static Look {
    LOOKS.iter().find(|look| look.key == key).unwrap_or(&LOOKS[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_configurations_look_alike() {
        let keys: BTreeSet<_> = LOOKS.iter().map(|look| look.key).collect();
        let looks: BTreeSet<_> =
            LOOKS.iter().map(|l| format!("{} {} {:?}", l.colour, l.dash, l.marker)).collect();
        assert_eq!((keys.len(), looks.len()), (LOOKS.len(), LOOKS.len()));
    }
}
