//! What a Click file must not be able to do: crash, hang, overflow a guest's stack, flood with errors.

mod common;

use common::*;

/// A guest's stack. Unoptimized code, which no guest runs, takes several times as much.
const STACK: usize = if cfg!(debug_assertions) { 2 << 20 } else { 256 << 10 };

/// Runs on a stack of a guest's size.
fn on_small_stack<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    std::thread::Builder::new().stack_size(STACK).spawn(f).unwrap().join().unwrap()
}

fn check(text: String) -> String {
    on_small_stack(move || match click::check(&click::Source { name: "x.click", text: &text }, &[]) {
        Ok(_) => String::new(),
        Err(d) => {
            assert!(d.list.len() <= 20);
            d.to_string()
        }
    })
}

fn assert_says(text: &str, parts: &[&str]) {
    let said = check(text.to_string());
    for part in parts {
        assert!(said.contains(part), "{text}\n{said}\nlacks {part}");
    }
}

#[test]
fn a_syntax_error_is_pointed_at() {
    assert_says(
        "Idle -> Discard;\nIdle -> -> Discard;",
        &["x.click:2:9: syntax error", "Idle -> -> Discard;", "        ^^"],
    );
    assert_says("a :: Queue(", &["has no ')'"]);
    assert_says("Idle -> { Null", &["has no '}'"]);
}

#[test]
fn an_unknown_element_is_pointed_at() {
    assert_says("Idle -> x :: Bogus -> Discard;", &["x.click:1:14: unknown element class 'Bogus'"]);
    assert_says("Idle -> x :: discard;", &["there is 'Discard'"]);
    assert_says("Idle -> nothing;", &["undeclared element 'nothing'"]);
}

#[test]
fn push_into_pull_is_pointed_at() {
    let text = "s :: TimedSource -> Null -> u :: Unqueue -> Discard;";
    assert_says(text, &["push output 0 connected to", "pull input 0", "a Queue between them", "^^^"]);
    assert_says("TimedSource -> Queue -> Tee -> Discard", &["pull output 0 connected to", "an Unqueue"]);
}

#[test]
fn an_unconnected_port_is_pointed_at() {
    assert_says("Idle -> c :: CheckIPHeader;", &["'c :: CheckIPHeader' output 0 unused"]);
    assert_says("q :: Queue -> Discard;", &["'q :: Queue' input 0 unused"]);
    assert_says("Idle -> t :: Tee; t [1] -> Discard;", &["output 0 unused"]);
    assert_says("Idle -> d :: Discard [1] -> Discard;", &["'d :: Discard' has no output 1"]);
}

#[test]
fn ports_used_twice_are_pointed_at() {
    assert_says(
        "s :: TimedSource; s -> Discard; s -> Discard;",
        &["illegal reuse of 's :: TimedSource' push output 0"],
    );
    let text = "TimedSource -> Queue -> u :: Unqueue -> Discard; TimedSource -> Queue -> u;";
    assert_says(text, &["illegal reuse of 'u :: Unqueue' pull input 0"]);
}

#[test]
fn wrong_arguments_are_pointed_at() {
    assert_says(
        "Idle -> Strip(x) -> Discard",
        &["x.click:1:15", "LENGTH: expected an unsigned integer, not 'x'"],
    );
    assert_says("Idle -> Strip -> Discard", &["missing mandatory LENGTH argument"]);
    assert_says("Idle -> Null(1) -> Discard", &["too many arguments"]);
    assert_says(
        "Idle -> Queue(CAPACTY 5) -> Discard",
        &["bad keyword CAPACTY (valid keywords are CAPACITY)"],
    );
    assert_says(
        "Idle -> c :: Classifier(12/0800, -) -> Discard",
        &["need 1 arguments, one per output port, not 2"],
    );
    // All of them at once.
    assert_says("Idle -> Strip(x) -> Strip(y) -> Discard", &["not 'x'", "not 'y'"]);
}

#[test]
fn a_megabyte_of_garbage_is_refused_soon() {
    let began = std::time::Instant::now();
    let mut random = 1u64;
    let mut byte = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as u8
    };
    let binary: Vec<u8> = (0..1 << 20).map(|_| byte()).collect();
    assert!(!check(String::from_utf8_lossy(&binary).into_owned()).is_empty());
    let words = [
        "->", "::", "(", ")", "[", "]", "{", "}", ",", "a", "Null", "$x", "\"", "/*", "=>", ";", "|", "||",
        "\\<", " ", "\n",
    ];
    let mut text = String::new();
    while text.len() < 1 << 20 {
        text += words[usize::from(byte()) % words.len()];
        text.push(' ');
    }
    assert!(!check(text).is_empty());
    for unit in [
        "a ",
        "a;",
        "[",
        "->",
        "(((",
        ")))",
        "\"",
        "'",
        "/* ",
        "$",
        "a::",
        "{ ",
        "} ",
        "a,",
        "elementclass A B;",
        "define($a $a);",
        "#\n",
        "Null->",
    ] {
        // Unoptimized code has a quarter of it, for the tests' time.
        check(unit.repeat((if cfg!(debug_assertions) { 1 << 18 } else { 1 << 20 }) / unit.len()));
    }
    let limit = if cfg!(debug_assertions) { 40 } else { 10 };
    assert!(began.elapsed().as_secs() < limit, "{:?}", began.elapsed());
}

#[test]
fn ten_thousand_parentheses_are_one_error() {
    for (open, close) in [("(", ")"), ("{", "}")] {
        let text = "Idle -> ".to_string() + &open.repeat(10_000) + &close.repeat(10_000) + " -> Discard;";
        assert!(check(text).contains("nesting depth exceeded"));
        assert!(!check(open.repeat(10_000)).is_empty());
    }
    let quoted = format!("Idle -> Print({}x{}) -> Discard", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(check(quoted), "", "in a configuration string they are text");
    let filter =
        format!("Idle -> IPFilter(allow {}udp{}) -> Discard", "(".repeat(10_000), ")".repeat(10_000));
    assert!(check(filter).contains("nests deeper"));
}

#[test]
fn nesting_up_to_the_limit_fits_the_stack() {
    let nested = |n: usize| {
        let open: String = (0..n).map(|_| "{ input -> ").collect();
        format!("Idle -> {open} Null {} -> Discard", " -> output }".repeat(n))
    };
    assert_eq!(check(nested(50)), "");
    assert!(check(nested(51)).contains("maximum compound element nesting depth exceeded"));
    assert_eq!(check(format!("Idle -> {}Null{} -> Discard", "( -> ".repeat(50), " -> )".repeat(50))), "");
    let mut classes = "elementclass C0 { input -> Null -> output }\n".to_string();
    for i in 1..110 {
        classes += &format!("elementclass C{i} {{ input -> C{} -> output }}\n", i - 1);
    }
    assert_eq!(check(format!("{classes} Idle -> C90 -> Discard")), "");
    assert!(check(format!("{classes} Idle -> C109 -> Discard")).contains("nest deeper"));
    assert!(
        check("elementclass A { input -> A -> output } Idle -> A -> Discard".into())
            .contains("undeclared element 'A'")
    );
}

#[test]
fn a_chain_of_ten_thousand_elements_runs() {
    let (push, pull) = on_small_stack(|| {
        let chain = "Null -> ".repeat(10_000);
        let mut b = bench(&format!("InfiniteSource(LIMIT 5) -> {chain} c :: Counter -> Discard"));
        b.settle();
        let push = b.read("c.count");
        let mut b =
            bench(&format!("InfiniteSource(LIMIT 5) -> Queue -> {chain} c :: Counter -> Unqueue -> Discard"));
        b.settle();
        (push, b.read("c.count"))
    });
    assert_eq!((push.as_str(), pull.as_str()), ("5", "5"));
}

#[test]
fn loops_end() {
    on_small_stack(|| {
        for text in [
            "TimedSource(1s) -> t :: Tee; t [0] -> t; t [1] -> Discard;",
            "TimedSource(1s) -> t :: Tee; t [0] -> t; t [1] -> t;",
            "TimedSource(1s) -> n :: Null -> Null -> n;",
        ] {
            let mut b = bench(text);
            b.pass(1_500_000_000);
            assert!(b.host.printed.contains("packets go in a loop"), "{text}: {}", b.host.printed);
            assert_eq!(b.host.printed.matches("loop").count(), 1);
        }
    });
    assert_says(
        "q :: Queue; TimedSource -> q; s :: RoundRobinSched; s -> s; q -> [1] s; s -> Discard",
        &["pulls from itself"],
    );
    let shapers = "Shaper(1) -> ".repeat(40);
    assert_says(&format!("TimedSource -> Queue -> {shapers} Discard"), &["follow each other"]);
    let shapers = "Shaper(1000) -> ".repeat(30);
    on_small_stack(move || {
        let mut b = bench(&format!("InfiniteSource(LIMIT 3) -> Queue -> {shapers} d :: Discard"));
        b.pass(1_000_000_000);
        assert_eq!(b.read("d.count"), "3");
    });
}

#[test]
fn scripts_that_only_jump_give_up() {
    let mut b = bench(
        "Script(loop); Script(label a, goto a); s :: Script(TYPE PASSIVE, loop); InfiniteSource(LIMIT 9) -> c :: Counter -> Discard",
    );
    b.settle();
    assert_eq!(b.host.printed.matches("too many jumps, giving up").count(), 2, "{}", b.host.printed);
    assert_eq!(b.read("c.count"), "9");
    assert!(b.router.read(&mut b.host, "s.run").is_err());
}

#[test]
fn arguments_that_are_nothing_but_a_comment_have_a_place() {
    for text in ["Idle -> Print(/* a */, // b\n) -> Discard;", "Idle -> Print(a,//\n,/**/) -> Discard;"] {
        let _ = click::check(&click::Source { name: "x.click", text }, &[]);
    }
}

#[test]
fn rules_that_look_at_many_fields_fit_the_stack() {
    let clause = |i: usize| format!("ip[{}] & {} == {}", i % 60 * 4, 1 << (i % 8), 1 << (i % 8));
    let rule = |i: usize| format!("0 {} and {} and not {}", clause(i), clause(i * 7 + 1), clause(i * 31 + 5));
    let rules: Vec<String> = (0..200).map(rule).collect();
    let deep = format!("0 {}udp{}", "(tcp or not (".repeat(15), "))".repeat(15));
    assert_eq!(check(format!("Idle -> IPFilter({}, {deep}) -> Discard", rules.join(", "))), "");
}

#[test]
fn names_that_cannot_be_are_pointed_at() {
    assert_says(
        "a :: Idle -> Discard; a :: Idle;",
        &["redeclaration of element 'a'", "element 'a' previously declared here"],
    );
    assert_says("Idle :: Counter;", &["class 'Idle' used as element name"]);
    assert_says("7 :: Idle -> Discard;", &["element name '7' has all-digit component"]);
    assert_says(
        "elementclass New { input -> output || ... }",
        &["x.click:1:14: cannot extend unknown element class 'New'"],
    );
}

#[test]
fn ports_of_compounds_are_counted_as_those_of_others() {
    let class = "elementclass X { $n | input -> Counter -> output }";
    assert_says(
        &format!("{class} x :: X(1);  Idle -> [1] x [1] -> Discard;"),
        &["'x' has no input 1", "'x' has no output 1", "'x' input 0 unused", "'x' output 0 unused"],
    );
    assert_says(
        &format!("{class} Idle -> X -> Discard;"),
        &["no match for 'X[1 input, 1 output]'", "candidates are:"],
    );
}

#[test]
fn a_clash_of_push_and_pull_is_said_once() {
    let said = check("Idle -> Queue -> c :: Counter -> Queue -> Discard;".to_string());
    assert_eq!(said.matches("connected to").count(), 1, "{said}");
}
