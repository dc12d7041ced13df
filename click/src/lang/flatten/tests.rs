use super::*;
use crate::lang::parser::parse;

fn flat(text: &str) -> (Flat, Diagnostics) {
    let source = Source { name: "x", text };
    let mut d = Diagnostics::default();
    let statements = parse(&source, &mut d);
    let f =
        flatten(&source, &statements, &[("given".to_string(), "7".to_string())], Library::default(), &mut d);
    (f, d)
}

fn joined(text: &str) -> Vec<String> {
    let (f, d) = flat(text);
    assert!(d.is_empty(), "{d}");
    let name = |i: usize| f.elements[i].name.clone();
    let line = |c: &crate::lang::Connected| {
        format!("{}[{}]->[{}]{}", name(c.from.element), c.from.port, c.to.port, name(c.to.element))
    };
    let mut lines: Vec<String> = f.connections.iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn a_compound_becomes_its_parts() {
    let text = "elementclass P { $n | input -> q :: Print($n) -> output; input [1] -> Discard }
         a :: Idle; d :: Discard; p :: P(x); a -> p -> d; i :: Idle -> [1] p;";
    assert_eq!(joined(text), ["a[0]->[0]p/q", "i[0]->[0]p/Discard@2", "p/q[0]->[0]d"]);
}

#[test]
fn groups_lists_and_port_by_port_connections() {
    let text = "t :: Tee => a :: Discard, b :: Discard; i :: Idle -> ( -> n :: Null -> ) -> t; n2 :: Null;
        t [2, 3] => [1, 0] n2";
    assert_eq!(
        joined(text),
        ["i[0]->[0]n", "n[0]->[0]t", "t[0]->[0]a", "t[1]->[0]b", "t[2]->[1]n2", "t[3]->[0]n2"]
    );
}

#[test]
fn a_class_means_what_it_meant_where_it_was_used() {
    let text = "elementclass Null { input -> x :: Null -> output } i :: Idle -> n :: Null -> d :: Discard";
    assert_eq!(joined(text), ["i[0]->[0]n/x", "n/x[0]->[0]d"]);
}

#[test]
fn given_values_take_the_place_of_defined_ones() {
    let (f, d) =
        flat("define($given 1, $own 2); a :: Print($given ${own} '$x' \"$own\"); Idle -> a -> Discard");
    assert!(d.is_empty(), "{d}");
    assert_eq!(f.elements[0].config, "7 2 '$x' \"2\"");
}

#[test]
fn arguments_of_compounds_are_bound() {
    let (f, d) = flat("elementclass P { $a, K $k, __REST__ $r | Print($a/$k/$r) } P(1, K v, 2, 3); P(5)");
    assert!(d.is_empty(), "{d}");
    let configs: Vec<_> = f.elements.iter().map(|e| e.config.as_str()).collect();
    assert_eq!(configs, ["1/v/2, 3", "5//"]);
    assert!(!flat("elementclass P { $a | Print($a) } P").1.is_empty());
}

#[test]
fn arguments_and_ports_choose_an_overload() {
    let x = "elementclass X { $a | input -> one :: Print($a) -> output
               || $a, $b | input -> two :: Print($a/$b) -> output
               || $a | input -> t :: Tee -> output; t [1] -> [1] output }";
    let ends = "i :: Idle -> x :: X";
    assert_eq!(joined(&format!("{x} {ends}(1, 2) -> d :: Discard")), ["i[0]->[0]x/two", "x/two[0]->[0]d"]);
    assert_eq!(
        joined(&format!("{x} {ends}(1) -> d :: Discard; x [1] -> e :: Discard")),
        ["i[0]->[0]x/t", "x/t[0]->[0]d", "x/t[1]->[0]e"]
    );
    let (_, d) = flat(&format!("{x} {ends}(1, 2, 3) -> Discard"));
    assert!(d.to_string().contains("no match for 'X[3 arguments, 1 input, 1 output]'"), "{d}");
}

#[test]
fn a_class_can_add_to_what_its_name_stood_for() {
    let text = "elementclass Null { $a | input -> p :: Print($a) -> output || ... }
                i :: Idle -> n :: Null(1) -> m :: Null -> d :: Discard";
    assert_eq!(joined(text), ["i[0]->[0]n/p", "m[0]->[0]d", "n/p[0]->[0]m"]);
}

#[test]
fn port_by_port_takes_as_many_ports_as_either_side_names() {
    let e = "a, b, c :: Null; ";
    for (text, lines) in [
        ("a => [0, 1, 2] b", &["a[0]->[0]b", "a[1]->[1]b", "a[2]->[2]b"][..]),
        ("a [1, 3] => b", &["a[1]->[0]b", "a[3]->[1]b"]),
        ("a [] => [1, 2] b", &["a[0]->[1]b", "a[1]->[2]b"]),
        ("a [2,] => b, c", &["a[2]->[0]b", "a[3]->[0]c"]),
        ("a, b => [0,] c", &["a[0]->[0]c", "b[0]->[1]c"]),
        ("a => b", &["a[0]->[0]b"]),
        ("a [0] => [0, 1] b", &["a[0]->[0]b", "a[0]->[1]b"]),
        ("a, b -> c", &["a[0]->[0]c", "b[0]->[0]c"]),
        ("a => (input => [1, 0] output) => b", &["a[0]->[1]b", "a[1]->[0]b"]),
    ] {
        assert_eq!(joined(&format!("{e}{text}")), lines, "{text}");
    }
    for (text, wrong) in [
        ("a [0, 1, 2] -> [0, 1, 2] b", "many-to-many connections require '=>'"),
        ("a [0, 1] => [0, 1, 2] b", "connection mismatch: 2 outputs connected to 3 inputs"),
        ("a [0, 1, 2] => b, [0] c", "connection mismatch: 3 outputs connected to 2 inputs"),
        ("a [] => [] b", "at most one expandable port allowed per connection"),
        ("[1] a -> b", "input ports ignored at start of chain"),
        ("a -> b [1]", "output ports ignored at end of chain"),
        ("a [x] -> b", "port number should be integer"),
        ("-> a", "syntax error near '->'"),
    ] {
        let (_, d) = flat(&format!("{e}{text}"));
        assert!(d.to_string().contains(wrong), "{text}: {d}");
    }
}

#[test]
fn a_class_is_spread_over_a_list_that_stands_alone() {
    assert_eq!(joined("a, b :: Null; c :: Idle -> a, d :: Discard"), ["c[0]->[0]a", "c[0]->[0]d"]);
    assert!(flat("a, b :: Null -> c :: Discard").1.to_string().contains("undeclared element 'a'"));
}

#[test]
fn growth_is_bounded() {
    let mut classes = "elementclass C0 { input -> Null -> output }\n".to_string();
    let mut variables = "define($v0 xxxxxxxxxx);\n".to_string();
    for i in 1..40 {
        classes += &format!("elementclass C{i} {{ input -> C{} -> C{} -> output }}\n", i - 1, i - 1);
        variables += &format!("define($v{i} $v{}$v{});\n", i - 1, i - 1);
    }
    assert!(!flat(&(classes + "C20")).1.is_empty());
    assert!(!flat(&variables).1.is_empty());
}

#[test]
fn unknown_names_are_noted() {
    let (_, d) = flat("a -> b; c :: Print($nothing);");
    assert_eq!(d.list.len(), 2, "{d}");
}

#[test]
fn a_variable_without_a_value_stays() {
    let (f, d) = flat("Print($nothing ${x[0]})");
    assert!(d.is_empty(), "{d}");
    assert_eq!(f.elements[0].config, "$nothing ${x[0]}");
}
