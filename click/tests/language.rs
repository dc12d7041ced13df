//! What is printed parses to the same; any text parses or is refused.

use click::lang::{Flat, flatten::flatten, parser::parse, print::print};
use click::{Diagnostics, Source};
use proptest::prelude::*;

fn flat(text: &str) -> (Flat, Diagnostics) {
    let source = Source { name: "x", text };
    let mut d = Diagnostics::default();
    let statements = parse(&source, &mut d);
    let mut flat = flatten(&source, &statements, &[], Default::default(), &mut d);
    for e in &mut flat.elements {
        (e.span, e.config_span) = (0..0, None);
    }
    flat.connections.iter_mut().for_each(|c| c.span = 0..0);
    (flat, d)
}

fn configurations() -> impl Strategy<Value = String> {
    let config = prop_oneof![
        Just(String::new()),
        "\\([a-z0-9 ,]{0,12}\\)",
        Just("(\"a) \\\" // b\", 'c)', \\<41 ) >)".to_string()),
    ];
    let element = (prop_oneof![Just("Null"), Just("Tee"), Just("Pair"), Just("Queue")], config);
    let link = (0usize..8, 0usize..3, 0usize..3, 0usize..8, any::<bool>());
    (proptest::collection::vec(element, 8), proptest::collection::vec(link, 0..12)).prop_map(|(elements, links)| {
        let mut text = "elementclass Pair { __REST__ $r | input -> q :: Queue($r) -> output; input [1] => ( -> Null -> ) => [1] output; input [2] -> Null -> [2] output }\n".to_string();
        for (i, (class, config)) in elements.iter().enumerate() {
            text += &format!("e{i} :: {class}{config}; /* e{i} */\n");
        }
        for (from, output, input, to, one) in links {
            text += &match one {
                true => format!("e{from} [{output}] -> Null -> [{input}] e{to};\n"),
                false => format!("e{from} [{output}] -> [{input}] e{to} // to\n"),
            };
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_printed_parses_to_the_same(text in configurations()) {
        let (first, _) = flat(&text);
        let (second, errors) = flat(&print(&first));
        prop_assert!(errors.is_empty(), "{errors}");
        prop_assert_eq!(&first.elements, &second.elements);
        prop_assert_eq!(&first.connections, &second.connections);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[\\[\\](){}:;,>=|$\"'/*\\\\#\n -]|->|::|=>|//|/\\*|Null|Queue){0,80}") {
        let _ = click::check(&Source { name: "x", text: &text }, &[]);
    }
}
