//! The truth table in full, the properties of blame, the grammar and its mistakes.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::{Complex, Expr, MAX_DEPTH, MAX_PARTS, Mistake, Names};
use crate::Status::{self, Fail, Pass, Unknown, Warn};

const ALL: [Status; 4] = [Pass, Warn, Fail, Unknown];

fn leaf(i: u32) -> Expr {
    Expr::Leaf(i)
}

/// Every assignment of four statuses to `n` leaves.
fn assignments(n: u32) -> impl Iterator<Item = Vec<Status>> {
    (0..4usize.pow(n)).map(move |mut code| {
        (0..n)
            .map(|_| {
                let status = ALL[code % 4];
                code /= 4;
                status
            })
            .collect()
    })
}

fn eval(expr: &Expr, says: &[Status]) -> Status {
    expr.eval(|i| says[i as usize])
}

#[test]
fn the_table_for_one_and_two_leaves() {
    let not = Expr::Not(Box::new(leaf(0)));
    let degrade = Expr::Degrade(Box::new(leaf(0)));
    for (says, not_says, degrade_says) in [
        (Pass, Fail, Pass),
        (Warn, Fail, Warn),
        (Fail, Pass, Warn),
        (Unknown, Unknown, Unknown),
    ] {
        assert_eq!(eval(&not, &[says]), not_says, "not {says}");
        assert_eq!(eval(&degrade, &[says]), degrade_says, "degrade({says})");
    }
    let all = Expr::All(vec![leaf(0), leaf(1)]);
    let any = Expr::Any(vec![leaf(0), leaf(1)]);
    let when = Expr::When(Box::new(leaf(0)), Box::new(leaf(1)));
    for (a, b, all_says, any_says, when_says) in [
        (Pass, Pass, Pass, Pass, Pass),
        (Pass, Warn, Warn, Pass, Warn),
        (Pass, Fail, Fail, Pass, Fail),
        (Pass, Unknown, Unknown, Pass, Unknown),
        (Warn, Pass, Warn, Pass, Pass),
        (Warn, Warn, Warn, Warn, Warn),
        (Warn, Fail, Fail, Warn, Fail),
        (Warn, Unknown, Unknown, Warn, Unknown),
        (Fail, Pass, Fail, Pass, Pass),
        (Fail, Warn, Fail, Warn, Pass),
        (Fail, Fail, Fail, Fail, Pass),
        (Fail, Unknown, Fail, Unknown, Pass),
        (Unknown, Pass, Unknown, Pass, Unknown),
        (Unknown, Warn, Unknown, Warn, Unknown),
        (Unknown, Fail, Fail, Unknown, Unknown),
        (Unknown, Unknown, Unknown, Unknown, Unknown),
    ] {
        assert_eq!(eval(&all, &[a, b]), all_says, "{a} and {b}");
        assert_eq!(eval(&any, &[a, b]), any_says, "{a} or {b}");
        assert_eq!(eval(&when, &[a, b]), when_says, "when({a}, {b})");
    }
}

/// A threshold written as its definition: replace each Unknown by Pass and by Fail and look
/// whether that could change the answer.
fn threshold_by_completion(need: u32, weights: &[u32], says: &[Status]) -> Status {
    let weigh = |wanted: fn(Status) -> bool| -> u32 {
        weights
            .iter()
            .zip(says)
            .filter(|&(_, &s)| wanted(s))
            .map(|(w, _)| w)
            .sum()
    };
    let worst = weigh(Status::passes) >= need;
    let best = weigh(|s| s != Fail) >= need;
    match (worst, best) {
        (true, _) if weigh(|s| s == Pass) >= need => Pass,
        (true, _) => Warn,
        (false, false) => Fail,
        (false, true) => Unknown,
    }
}

#[test]
fn thresholds_agree_with_their_definition_on_every_assignment() {
    for n in 1..=4u32 {
        let leaves: Vec<Expr> = (0..n).map(leaf).collect();
        for says in assignments(n) {
            for need in 0..=n {
                let expr = Expr::AtLeast(need, leaves.clone());
                let ones = vec![1; n as usize];
                assert_eq!(
                    eval(&expr, &says),
                    threshold_by_completion(need, &ones, &says)
                );
            }
            assert_eq!(
                eval(&Expr::All(leaves.clone()), &says),
                eval(&Expr::AtLeast(n, leaves.clone()), &says)
            );
            assert_eq!(
                eval(&Expr::Any(leaves.clone()), &says),
                eval(&Expr::AtLeast(1, leaves.clone()), &says)
            );
            let weights: Vec<u32> = (0..n).map(|i| [2, 1, 1, 3][i as usize]).collect();
            for need in 0..=weights.iter().sum() {
                let expr =
                    Expr::Weighted(need, weights.iter().copied().zip(leaves.clone()).collect());
                assert_eq!(
                    eval(&expr, &says),
                    threshold_by_completion(need, &weights, &says)
                );
            }
        }
    }
}

#[test]
fn blame_names_what_supports_the_result() {
    let ping_and_memory = Expr::All(vec![leaf(0), leaf(1)]);
    let quorum = Expr::AtLeast(2, vec![leaf(0), leaf(1), leaf(2)]);
    let any = Expr::Any(vec![leaf(0), leaf(1)]);
    let not = Expr::Not(Box::new(leaf(0)));
    let when = Expr::When(Box::new(leaf(0)), Box::new(leaf(1)));
    for (name, expr, says, blamed) in [
        ("one of all", &ping_and_memory, vec![Fail, Pass], vec![0]),
        ("all of all", &ping_and_memory, vec![Fail, Fail], vec![0, 1]),
        (
            "fail hides unknown",
            &ping_and_memory,
            vec![Unknown, Fail],
            vec![1],
        ),
        ("unknown", &ping_and_memory, vec![Unknown, Pass], vec![0]),
        ("warn", &ping_and_memory, vec![Pass, Warn], vec![1]),
        ("quorum lost", &quorum, vec![Fail, Pass, Fail], vec![0, 2]),
        ("quorum held", &quorum, vec![Fail, Pass, Pass], vec![1, 2]),
        ("any", &any, vec![Fail, Fail], vec![0, 1]),
        ("not", &not, vec![Pass], vec![0]),
        ("when applies", &when, vec![Pass, Fail], vec![1, 0]),
        ("when does not apply", &when, vec![Fail, Fail], vec![0]),
        ("when nobody knows", &when, vec![Unknown, Fail], vec![0]),
    ] {
        assert_eq!(expr.blame(|i| says[i as usize]), blamed, "{name}");
    }
}

const LEAVES: u32 = 5;

/// Thresholds can be reached and missed, as the parser makes sure.
fn expressions() -> impl Strategy<Value = Expr> {
    let leaf = (0..LEAVES).prop_map(Expr::Leaf);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let many = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|x| Expr::Not(Box::new(x))),
            inner.clone().prop_map(|x| Expr::Degrade(Box::new(x))),
            many.clone().prop_map(Expr::All),
            many.clone().prop_map(Expr::Any),
            (0..5u32, many).prop_map(|(n, xs)| Expr::AtLeast(
                1 + n % u32::try_from(xs.len()).expect("few"),
                xs
            )),
            (
                0..9u32,
                prop::collection::vec((1..4u32, inner.clone()), 1..4)
            )
                .prop_map(|(n, xs)| {
                    let sum: u32 = xs.iter().map(|(w, _)| w).sum();
                    Expr::Weighted(1 + n % sum, xs)
                }),
            (inner.clone(), inner).prop_map(|(g, x)| Expr::When(Box::new(g), Box::new(x))),
        ]
    })
}

fn statuses() -> impl Strategy<Value = Vec<Status>> {
    prop::collection::vec(prop::sample::select(&ALL[..]), LEAVES as usize)
}

/// The same cases on every run; nothing is written beside the source.
fn steady() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(steady())]

    /// The explanation of a Fail is complete: no other leaf could undo it.
    #[test]
    fn a_fail_stands_on_its_blame_alone(
        expr in expressions(), says in statuses(), others in statuses()
    ) {
        if eval(&expr, &says) == Fail {
            let blamed = expr.blame(|i| says[i as usize]);
            let stays = |i: u32| blamed.contains(&i);
            let mixed = |i: u32| if stays(i) { says[i as usize] } else { others[i as usize] };
            prop_assert_eq!(expr.eval(mixed), Fail, "blame {:?}", blamed);
        }
    }

    /// Blame names leaves of the expression, each once, and never none where there is a leaf to
    /// name.
    #[test]
    fn blame_is_a_set_of_leaves(expr in expressions(), says in statuses()) {
        let blamed = expr.blame(|i| says[i as usize]);
        let leaves = expr.leaves();
        let mut sorted = blamed.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), blamed.len());
        prop_assert!(sorted.iter().all(|i| leaves.binary_search(i).is_ok()));
        let index = 0..u32::try_from(says.len()).unwrap();
        prop_assert!(index.into_iter().all(|i| expr.reads(i) == leaves.contains(&i)));
        if eval(&expr, &says) == Fail {
            prop_assert!(!blamed.is_empty());
        }
    }

    /// Without Unknown leaves nothing is Unknown.
    #[test]
    fn knowledge_in_knowledge_out(expr in expressions(), says in statuses()) {
        let known = |i: u32| if says[i as usize] == Unknown { Fail } else { says[i as usize] };
        prop_assert_ne!(expr.eval(known), Unknown);
    }

    /// `live` of nothing but Unknown is never Fail: Unknown alone restarts nothing.
    #[test]
    fn unknown_alone_never_fails(expr in expressions()) {
        prop_assert_ne!(expr.eval(|_| Unknown), Fail);
    }
}

const CHECKS: [&str; 5] = ["ping", "memory", "busy", "queue-depth", "disk_0"];

/// The expression in a form that shows its structure.
fn shape(expr: &Expr) -> String {
    let list = |xs: &[Expr]| xs.iter().map(shape).collect::<Vec<_>>().join(" ");
    match expr {
        Expr::Leaf(i) => CHECKS[*i as usize].to_owned(),
        Expr::Not(x) => format!("(not {})", shape(x)),
        Expr::All(xs) => format!("(all {})", list(xs)),
        Expr::Any(xs) => format!("(any {})", list(xs)),
        Expr::AtLeast(n, xs) => format!("({n} of {})", list(xs)),
        Expr::Weighted(n, xs) => {
            let xs: Vec<_> = xs
                .iter()
                .map(|(w, x)| format!("{w}*{}", shape(x)))
                .collect();
            format!("(weight {n} {})", xs.join(" "))
        }
        Expr::Degrade(x) => format!("(degrade {})", shape(x)),
        Expr::When(g, x) => format!("(when {} {})", shape(g), shape(x)),
    }
}

#[test]
fn the_whole_grammar() {
    for (text, expected) in [
        ("ping", "ping"),
        (" ( ping ) ", "ping"),
        ("ping and memory", "(all ping memory)"),
        ("ping and memory and busy", "(all ping memory busy)"),
        ("ping or memory and busy", "(any ping (all memory busy))"),
        ("not ping and memory", "(all (not ping) memory)"),
        ("not (ping and memory)", "(not (all ping memory))"),
        ("not not ping", "(not (not ping))"),
        (
            "ping and (memory or not busy)",
            "(all ping (any memory (not busy)))",
        ),
        ("all(ping, memory)", "(all ping memory)"),
        ("any ( ping,\n memory )", "(any ping memory)"),
        (
            "at_least(2, ping, memory or busy, not disk_0)",
            "(2 of ping (any memory busy) (not disk_0))",
        ),
        ("majority(ping, memory, busy)", "(2 of ping memory busy)"),
        (
            "majority(ping, memory, busy, disk_0)",
            "(3 of ping memory busy disk_0)",
        ),
        (
            "weighted(3, ping=2, memory=1, busy and disk_0=1)",
            "(weight 3 2*ping 1*memory 1*(all busy disk_0))",
        ),
        (
            "degrade(queue-depth) and ping",
            "(all (degrade queue-depth) ping)",
        ),
        (
            "when(busy, ping and memory)",
            "(when busy (all ping memory))",
        ),
    ] {
        let complex = Complex::parse(text, &CHECKS).unwrap_or_else(|m| panic!("{text}: {m:?}"));
        assert_eq!(shape(&complex.expr), expected, "{text}");
        assert_eq!(complex.text, text);
    }
}

/// Each mistake with the text that it underlines.
fn mistakes(text: &str) -> Vec<(&'static str, &str, String)> {
    let found = Complex::parse(text, &CHECKS).expect_err(text);
    found
        .into_iter()
        .map(|m: Mistake| {
            let help = m.help.map_or(String::new(), |h| format!("; {h}"));
            (
                m.code,
                text.get(m.range).expect("in the text"),
                format!("{}{help}", m.message),
            )
        })
        .collect()
}

#[test]
fn mistakes_are_underlined_in_the_text() {
    for (text, code, underlined, says) in [
        ("", "C0131", "", "an expression is empty"),
        ("  ", "C0131", "  ", "an expression is empty"),
        (
            "ping and",
            "C0131",
            "",
            "expected a check, found the end of the expression",
        ),
        ("and ping", "C0131", "and", "expected a check, found `and`"),
        (
            "ping memory",
            "C0131",
            "memory",
            "expected `and`, `or` or the end, found `memory`",
        ),
        (
            "ping)",
            "C0131",
            ")",
            "expected `and`, `or` or the end, found `)`",
        ),
        ("(ping and memory", "C0131", "(", "a `(` is never closed"),
        ("all(ping, memory", "C0131", "(", "a `(` is never closed"),
        ("all()", "C0131", ")", "expected a check, found `)`"),
        ("all(ping,)", "C0131", ")", "expected a check, found `)`"),
        (
            "all",
            "C0131",
            "",
            "expected `(`, found the end of the expression",
        ),
        (
            "al(ping)",
            "C0131",
            "al",
            "there is no function `al`; did you mean `all`?",
        ),
        (
            "ping && memory",
            "C0131",
            "&&",
            "`&&` means nothing here; write `and`",
        ),
        ("!ping", "C0131", "!", "`!` means nothing here; write `not`"),
        ("ping == memory", "C0131", "==", "`==` means nothing here"),
        (
            "ping and memöry",
            "C0131",
            "memöry".get(3..5).unwrap(),
            "`ö` means nothing here",
        ),
        (
            "at_least(ping)",
            "C0131",
            "ping",
            "expected how many must pass, a whole number, found `ping`",
        ),
        (
            "at_least(99999999999, ping)",
            "C0131",
            "99999999999",
            "expected how many must pass, a whole number, found `99999999999`",
        ),
        ("not(ping, memory)", "C0131", ",", "expected `)`, found `,`"),
        (
            "weighted(3, ping)",
            "C0131",
            ")",
            "expected `=` and a weight, found `)`",
        ),
        (
            "when(ping, memory, busy)",
            "C0131",
            ",",
            "expected `)`, found `,`",
        ),
        (
            "ping AND memory",
            "C0131",
            "AND",
            "expected `and`, `or` or the end, found `AND`",
        ),
        (
            "pingg",
            "C0132",
            "pingg",
            "there is no check or expression `pingg` in this group; did you mean `ping`?",
        ),
        (
            "at_least(4, ping, memory, busy)",
            "C0133",
            "4",
            "this can never pass",
        ),
        (
            "at_least(0, ping)",
            "C0133",
            "0",
            "this always passes: it asks for 0",
        ),
        (
            "weighted(5, ping=2, memory=1, busy=1)",
            "C0133",
            "5",
            "this can never pass",
        ),
        (
            "weighted(1, ping=0, memory=1)",
            "C0133",
            "0",
            "a weight of 0 says nothing",
        ),
    ] {
        assert_eq!(
            mistakes(text),
            [(code, underlined, says.to_owned())],
            "{text}"
        );
    }
}

#[test]
fn every_unknown_name_and_every_quorum_is_told_at_once() {
    let found = mistakes("pong and at_least(3, memory, bussy)");
    let codes: Vec<_> = found.iter().map(|(code, text, _)| (*code, *text)).collect();
    assert_eq!(
        codes,
        [("C0132", "pong"), ("C0133", "3"), ("C0132", "bussy")]
    );
}

#[test]
fn hostile_nesting_is_refused_and_costs_nothing() {
    for text in [
        format!("{}ping{}", "(".repeat(10_000), ")".repeat(10_000)),
        "(".repeat(10_000),
        "not ".repeat(10_000) + "ping",
        "all(".repeat(10_000),
        "when(ping, ".repeat(5_000),
    ] {
        let found = Complex::parse(&text, &CHECKS).expect_err("nested too deep");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, "C0135");
    }
    let deep = "(".repeat(MAX_DEPTH as usize) + "ping" + &")".repeat(MAX_DEPTH as usize);
    assert!(Complex::parse(&deep, &CHECKS).is_ok());
    let long = "ping and ".repeat(10_000) + "ping";
    assert_eq!(
        Complex::parse(&long, &CHECKS).expect_err("too long")[0].code,
        "C0135"
    );
}

fn with_expressions<'a>(
    expressions: &[(&'a str, &'a str)],
) -> (Names<'a>, Vec<(&'a str, Mistake)>) {
    Names::new(CHECKS.into_iter().zip(0u32..), expressions)
}

#[test]
fn named_expressions_are_put_in_their_place() {
    let (names, wrong) = with_expressions(&[
        ("alive", "ping and idle"),
        ("idle", "not busy"),
        ("odd", "memory"),
    ]);
    assert_eq!(wrong, []);
    let mut found = Vec::new();
    let complex = names.read("alive or odd", &mut found).expect("reads");
    assert_eq!(shape(&complex.expr), "(any (all ping (not busy)) memory)");
}

#[test]
fn circles_are_told_once_and_do_not_cascade() {
    let (names, wrong) = with_expressions(&[
        ("a", "b and ping"),
        ("b", "not c"),
        ("c", "a"),
        ("d", "d"),
        ("e", "c"),
    ]);
    let told: Vec<_> = wrong
        .iter()
        .map(|(name, m)| (*name, m.code, m.notes[0].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("c", "C0134", "the circle: a -> b -> c -> a"),
            ("d", "C0134", "the circle: d -> d")
        ]
    );
    let mut found = Vec::new();
    assert_eq!(names.read("a and e and ping", &mut found), None);
    assert_eq!(found, [], "the circle was told at its own place");
}

#[test]
fn doubling_expressions_are_stopped() {
    let texts: Vec<(String, String)> = (0..40)
        .map(|i| {
            (
                format!("e{i}"),
                if i == 0 {
                    "ping".into()
                } else {
                    format!("e{0} and e{0}", i - 1)
                },
            )
        })
        .collect();
    let borrowed: Vec<(&str, &str)> = texts
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    let (_, wrong) = with_expressions(&borrowed);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0].1.code, "C0135");
    assert!(wrong[0].1.notes[0].contains(&MAX_PARTS.to_string()));
}

#[test]
fn a_name_twice_in_a_quorum_is_a_lint() {
    let (names, _) = with_expressions(&[]);
    let mut found = Vec::new();
    assert!(
        names
            .read("at_least(2, ping, memory, ping)", &mut found)
            .is_some()
    );
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].range.clone()), ("C0136", 26..30));
}

proptest! {
    #![proptest_config(steady())]

    /// Whatever the text, the parser answers, and underlines inside the text.
    #[test]
    fn any_text_is_answered(text in "[a-z0-9_(),=&é \\-]{0,80}|(ping|and|or|not|all|\\(|\\)|,| |2|=){0,30}") {
        if let Err(found) = Complex::parse(&text, &CHECKS) {
            prop_assert!(!found.is_empty());
            for mistake in found {
                prop_assert!(text.get(mistake.range.clone()).is_some(), "{:?}", mistake);
            }
        }
    }
}
