//! Complex checks: expression text, tree, three-valued evaluation with minimal blame.

mod eval;
mod mistake;
mod parse;
mod resolve;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use mistake::Mistake;
pub use parse::{MAX_DEPTH, MAX_TEXT, WORDS};
pub use resolve::{MAX_PARTS, Names};

/// An expression with the text that it was written as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Complex {
    /// As written; `all(ping, memory)` for a default.
    pub text: String,
    /// What it means.
    pub expr: Expr,
}

/// The tree of an expression. A leaf is an index into `GroupPlan::checks`; named sub-expressions are
/// already put in their place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expr {
    /// A check of the group.
    Leaf(u32),
    /// Fail when the child passes.
    Not(Box<Expr>),
    /// Passes when every child does. Without children: Pass.
    All(Vec<Expr>),
    /// Passes when one child does.
    Any(Vec<Expr>),
    /// Passes when so many children do; `majority` is this too.
    AtLeast(u32, Vec<Expr>),
    /// Passes when the weights of the passing children reach the need.
    Weighted(u32, Vec<(u32, Expr)>),
    /// Fail counts as Warn.
    Degrade(Box<Expr>),
    /// Guard Fail: Pass, not applicable. Guard Unknown: Unknown. Else the second.
    When(Box<Expr>, Box<Expr>),
}

impl Complex {
    /// Reads `text` where the checks of the group are `checks`, in this order.
    pub fn parse(text: &str, checks: &[&str]) -> Result<Self, Vec<Mistake>> {
        let (names, _) = Names::new(checks.iter().copied().zip(0u32..), &[]);
        let mut mistakes = Vec::new();
        names.read(text, &mut mistakes).ok_or(mistakes)
    }
}
