//! The truth table in full, and the properties of blame.

use proptest::prelude::*;

use super::Expr;
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

fn expressions() -> impl Strategy<Value = Expr> {
    let leaf = (0..LEAVES).prop_map(Expr::Leaf);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let many = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|x| Expr::Not(Box::new(x))),
            inner.clone().prop_map(|x| Expr::Degrade(Box::new(x))),
            many.clone().prop_map(Expr::All),
            many.clone().prop_map(Expr::Any),
            (0..5u32, many).prop_map(|(n, xs)| Expr::AtLeast(n, xs)),
            (
                0..9u32,
                prop::collection::vec((1..4u32, inner.clone()), 1..4)
            )
                .prop_map(|(n, xs)| Expr::Weighted(n, xs)),
            (inner.clone(), inner).prop_map(|(g, x)| Expr::When(Box::new(g), Box::new(x))),
        ]
    })
}

fn statuses() -> impl Strategy<Value = Vec<Status>> {
    prop::collection::vec(prop::sample::select(&ALL[..]), LEAVES as usize)
}

proptest! {
    /// The explanation of a Fail is complete: no other leaf could undo it.
    #[test]
    fn a_fail_stands_on_its_blame_alone(
        expr in expressions(), says in statuses(), others in statuses()
    ) {
        prop_assume!(eval(&expr, &says) == Fail);
        let blamed = expr.blame(|i| says[i as usize]);
        let mixed = |i: u32| if blamed.contains(&i) { says[i as usize] } else { others[i as usize] };
        prop_assert_eq!(expr.eval(mixed), Fail, "blame {:?}", blamed);
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
        if eval(&expr, &says) == Fail && !impossible(&expr) {
            prop_assert!(!blamed.is_empty());
        }
    }

    /// Without Unknown leaves nothing is Unknown.
    #[test]
    fn knowledge_in_knowledge_out(expr in expressions(), says in statuses()) {
        prop_assume!(!says.contains(&Unknown));
        prop_assert_ne!(eval(&expr, &says), Unknown);
    }

    /// `live` of nothing but Unknown is never Fail: Unknown alone restarts nothing.
    #[test]
    fn unknown_alone_never_fails(expr in expressions()) {
        prop_assume!(!impossible(&expr) && !trivial(&expr));
        prop_assert_ne!(expr.eval(|_| Unknown), Fail);
    }
}

/// Holds a threshold that no passing of its children can reach; the parser refuses these.
fn impossible(expr: &Expr) -> bool {
    any_node(expr, &|e| match e {
        Expr::AtLeast(n, xs) => *n as usize > xs.len(),
        Expr::Weighted(n, xs) => *n > xs.iter().map(|(w, _)| w).sum(),
        _ => false,
    })
}

/// Holds a threshold that passes whatever its children say; the parser refuses these.
fn trivial(expr: &Expr) -> bool {
    any_node(expr, &|e| {
        matches!(e, Expr::AtLeast(0, _) | Expr::Weighted(0, _))
    })
}

fn any_node(expr: &Expr, is: &dyn Fn(&Expr) -> bool) -> bool {
    is(expr)
        || match expr {
            Expr::Leaf(_) => false,
            Expr::Not(x) | Expr::Degrade(x) => any_node(x, is),
            Expr::All(xs) | Expr::Any(xs) | Expr::AtLeast(_, xs) => {
                xs.iter().any(|x| any_node(x, is))
            }
            Expr::Weighted(_, xs) => xs.iter().any(|(_, x)| any_node(x, is)),
            Expr::When(g, x) => any_node(g, is) || any_node(x, is),
        }
}
