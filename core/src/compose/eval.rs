//! What an expression says when its leaves speak, and which leaves are the reason.
//!
//! # The rule
//!
//! Pass and Warn are true, Fail is false, Unknown is neither (Kleene's three values):
//!
//! | expression | Pass or Warn | Fail | Unknown |
//! |---|---|---|---|
//! | `not x` | x is Fail | x is true | x is Unknown |
//! | `all`, `and` | every child is true | one child is Fail | else |
//! | `any`, `or` | one child is true | every child is Fail | else |
//! | `at_least(n, …)` | true children ≥ n | true + unknown children < n | else |
//! | `weighted(n, …)` | weight of true children ≥ n | weight of true + unknown < n | else |
//! | `degrade(x)` | x is true or Fail | never | x is Unknown |
//! | `when(guard, x)` | guard is Fail, or x is true | guard is true and x is Fail | guard is Unknown, or x is |
//!
//! A true result is **Warn** when it would not be true without its Warns, else Pass: `all` warns as
//! soon as one child does, `any` only when no child is a clean Pass. `degrade` makes a Fail a Warn,
//! `not` of a Fail is a Pass, and a `when` that does not apply is a Pass.

use super::Expr;
use crate::Status;

impl Expr {
    /// What the expression says when leaf `i` says `leaf(i)`. Allocates nothing.
    pub fn eval(&self, leaf: impl Fn(u32) -> Status) -> Status {
        eval(self, &leaf)
    }

    /// The leaves that support what the expression says, each once: those to show as the reason.
    ///
    /// For a Fail of `all` or of a threshold the blame of its failing children; for a Fail of `any`
    /// of all of them; for `not` and `degrade` of the child; for a `when` that applies of its body,
    /// then of its guard, else of the guard alone. A Pass is supported by its passing children, a
    /// Warn by its warning ones, an Unknown by its unknown ones. For a Fail this is enough to
    /// explain it: whatever the other leaves say, it stays a Fail.
    pub fn blame(&self, leaf: impl Fn(u32) -> Status) -> Vec<u32> {
        let mut found = Vec::new();
        blame(self, &leaf, Question::Exactly, &mut found);
        found
    }

    /// Whether leaf `index` is one of the expression's. Allocates nothing.
    pub fn reads(&self, index: u32) -> bool {
        match self {
            Self::Leaf(leaf) => *leaf == index,
            Self::Not(child) | Self::Degrade(child) => child.reads(index),
            Self::All(children) | Self::Any(children) | Self::AtLeast(_, children) => {
                children.iter().any(|child| child.reads(index))
            }
            Self::Weighted(_, children) => children.iter().any(|(_, child)| child.reads(index)),
            Self::When(guard, body) => guard.reads(index) || body.reads(index),
        }
    }

    /// Every leaf of the expression, ascending, each once.
    pub fn leaves(&self) -> Vec<u32> {
        let mut found = Vec::new();
        leaves(self, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Weights of the children by what they say.
#[derive(Default)]
struct Tally {
    pass: u64,
    warn: u64,
    unknown: u64,
}

impl Tally {
    fn add(&mut self, status: Status, weight: u64) {
        match status {
            Status::Pass => self.pass += weight,
            Status::Warn => self.warn += weight,
            Status::Unknown => self.unknown += weight,
            Status::Fail => {}
        }
    }

    fn against(&self, need: u64) -> Status {
        if self.pass >= need {
            Status::Pass
        } else if self.pass + self.warn >= need {
            Status::Warn
        } else if self.pass + self.warn + self.unknown < need {
            Status::Fail
        } else {
            Status::Unknown
        }
    }
}

fn eval<F: Fn(u32) -> Status>(expr: &Expr, leaf: &F) -> Status {
    match expr {
        Expr::Leaf(index) => leaf(*index),
        Expr::Not(child) => match eval(child, leaf) {
            Status::Pass | Status::Warn => Status::Fail,
            Status::Fail => Status::Pass,
            Status::Unknown => Status::Unknown,
        },
        Expr::All(children) => threshold(children.len() as u64, children, leaf),
        Expr::Any(children) => threshold(1, children, leaf),
        Expr::AtLeast(need, children) => threshold(u64::from(*need), children, leaf),
        Expr::Weighted(need, children) => {
            let mut tally = Tally::default();
            for (weight, child) in children {
                tally.add(eval(child, leaf), u64::from(*weight));
            }
            tally.against(u64::from(*need))
        }
        Expr::Degrade(child) => match eval(child, leaf) {
            Status::Fail => Status::Warn,
            other @ (Status::Pass | Status::Warn | Status::Unknown) => other,
        },
        Expr::When(guard, body) => match eval(guard, leaf) {
            Status::Fail => Status::Pass,
            Status::Unknown => Status::Unknown,
            Status::Pass | Status::Warn => eval(body, leaf),
        },
    }
}

fn threshold<F: Fn(u32) -> Status>(need: u64, children: &[Expr], leaf: &F) -> Status {
    let mut tally = Tally::default();
    for child in children {
        tally.add(eval(child, leaf), 1);
    }
    tally.against(need)
}

/// What is to be explained: the exact status, or only that it is true. Below a `not` and in a guard
/// a Pass and a Warn do the same, so both support it.
#[derive(Clone, Copy, PartialEq)]
enum Question {
    Exactly,
    Truth,
}

impl Question {
    fn supports(self, child: Status, result: Status) -> bool {
        child == result || (self == Self::Truth && child.passes() && result.passes())
    }
}

fn blame<F: Fn(u32) -> Status>(expr: &Expr, leaf: &F, question: Question, found: &mut Vec<u32>) {
    match expr {
        Expr::Leaf(index) => {
            if !found.contains(index) {
                found.push(*index);
            }
        }
        Expr::Not(child) => blame(child, leaf, Question::Truth, found),
        Expr::Degrade(child) => blame(child, leaf, question, found),
        Expr::All(children) | Expr::Any(children) | Expr::AtLeast(_, children) => {
            supporters(expr, children.iter(), leaf, question, found);
        }
        Expr::Weighted(_, children) => {
            supporters(
                expr,
                children.iter().map(|(_, child)| child),
                leaf,
                question,
                found,
            );
        }
        Expr::When(guard, body) => {
            if eval(guard, leaf).passes() {
                blame(body, leaf, question, found);
            }
            blame(guard, leaf, Question::Truth, found);
        }
    }
}

fn supporters<'e, F: Fn(u32) -> Status>(
    expr: &Expr,
    children: impl Iterator<Item = &'e Expr>,
    leaf: &F,
    question: Question,
    found: &mut Vec<u32>,
) {
    let result = eval(expr, leaf);
    for child in children {
        if question.supports(eval(child, leaf), result) {
            blame(child, leaf, question, found);
        }
    }
}

fn leaves(expr: &Expr, found: &mut Vec<u32>) {
    match expr {
        Expr::Leaf(index) => found.push(*index),
        Expr::Not(child) | Expr::Degrade(child) => leaves(child, found),
        Expr::All(children) | Expr::Any(children) | Expr::AtLeast(_, children) => {
            for child in children {
                leaves(child, found);
            }
        }
        Expr::Weighted(_, children) => {
            for (_, child) in children {
                leaves(child, found);
            }
        }
        Expr::When(guard, body) => {
            leaves(guard, found);
            leaves(body, found);
        }
    }
}
