//! A tree with places to an expression: names become leaves or whole sub-expressions, and
//! thresholds are checked for sense.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::mistake::Mistake;
use super::parse::{self, MAX_DEPTH, Node, NodeKind, TOO_LARGE};
use super::{Complex, Expr};
use crate::diagnostic::nearest;

/// How many mistakes of one expression are told: a hostile text must not cost more than it is worth.
const MAX_MISTAKES: usize = 20;
/// How many parts an expression may have after named expressions are put in their place.
pub const MAX_PARTS: u32 = 10_000;

const UNKNOWN: &str = "C0132";
const QUORUM: &str = "C0133";
const CYCLE: &str = "C0134";
const TWICE: &str = "C0136";

/// The names of one group: its checks, and its named expressions in the order of their needs.
#[derive(Debug, Default)]
pub struct Names<'a> {
    checks: BTreeMap<&'a str, u32>,
    expressions: BTreeMap<&'a str, Option<Sized>>,
}

/// An expression with what it costs to copy.
#[derive(Clone, Debug)]
struct Sized {
    expr: Expr,
    parts: u32,
    depth: u32,
}

impl<'a> Names<'a> {
    /// The checks of a group, by their index, and its `[group.N.expressions]`, whose mistakes come
    /// back with the name of the expression that they are in.
    pub fn new(
        checks: impl IntoIterator<Item = (&'a str, u32)>,
        expressions: &[(&'a str, &'a str)],
    ) -> (Self, Vec<(&'a str, Mistake)>) {
        let mut names = Self {
            checks: checks.into_iter().collect(),
            expressions: BTreeMap::new(),
        };
        let mut mistakes = Vec::new();
        let mut parsed = BTreeMap::new();
        for &(name, text) in expressions {
            match parse::parse(text) {
                Ok(node) => {
                    parsed.insert(name, node);
                }
                Err(mistake) => {
                    mistakes.push((name, mistake));
                    names.expressions.insert(name, None);
                }
            }
        }
        let order = names.in_order_of_need(&parsed, &mut mistakes);
        for name in order {
            if let Some(node) = parsed.get(name) {
                let mut found = Vec::new();
                let expr = names.resolve(node, &mut found);
                mistakes.extend(found.into_iter().map(|mistake| (name, mistake)));
                names.expressions.insert(name, expr);
            }
        }
        (names, mistakes)
    }

    /// The parsed expressions so that each comes after those that it names. One that names itself,
    /// through others or at once, is left out and reported once a circle.
    fn in_order_of_need(
        &mut self,
        parsed: &BTreeMap<&'a str, Node>,
        mistakes: &mut Vec<(&'a str, Mistake)>,
    ) -> Vec<&'a str> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            Open,
            Done,
        }
        let mut needs: BTreeMap<&'a str, Vec<(&'a str, Range<usize>)>> = BTreeMap::new();
        for (&name, node) in parsed {
            let mut used = Vec::new();
            names_in(node, &mut |word, range| {
                if let Some((&key, _)) = parsed.get_key_value(word) {
                    used.push((key, range));
                }
            });
            needs.insert(name, used);
        }
        let mut marks: BTreeMap<&'a str, Mark> = BTreeMap::new();
        let mut order = Vec::new();
        for &root in needs.keys() {
            if marks.contains_key(root) {
                continue;
            }
            // Not recursive: a chain of names may be as long as the file.
            let mut path: Vec<(&'a str, usize)> = vec![(root, 0)];
            marks.insert(root, Mark::Open);
            while let Some((name, next)) = path.last_mut() {
                let used = needs.get(name).map_or(&[][..], Vec::as_slice);
                let Some((need, range)) = used.get(*next) else {
                    marks.insert(name, Mark::Done);
                    order.push(*name);
                    path.pop();
                    continue;
                };
                *next += 1;
                let name = *name;
                match marks.get(need) {
                    Some(Mark::Done) => {}
                    None => {
                        marks.insert(need, Mark::Open);
                        path.push((need, 0));
                    }
                    Some(Mark::Open) => {
                        let from = path.iter().position(|(n, _)| n == need).unwrap_or(0);
                        let circle: Vec<&str> = path
                            .iter()
                            .skip(from)
                            .map(|(n, _)| *n)
                            .chain([*need])
                            .collect();
                        let mistake = Mistake::new(
                            CYCLE,
                            range.clone(),
                            format!("expression `{need}` is made of itself"),
                        )
                        .words(format!("`{need}` again"))
                        .note(format!("the circle: {}", circle.join(" -> ")));
                        mistakes.push((name, mistake));
                        for member in circle {
                            if let Some((&key, _)) = parsed.get_key_value(member) {
                                self.expressions.insert(key, None);
                            }
                        }
                    }
                }
            }
        }
        order.retain(|name| !self.expressions.contains_key(name));
        order
    }

    /// Understands one expression. `None` when a mistake was added, or when it names an expression
    /// that has mistakes of its own.
    pub fn read(&self, text: &str, mistakes: &mut Vec<Mistake>) -> Option<Complex> {
        let node = match parse::parse(text) {
            Ok(node) => node,
            Err(mistake) => {
                mistakes.push(mistake);
                return None;
            }
        };
        let mut found = Vec::new();
        let sized = self.resolve(&node, &mut found);
        mistakes.append(&mut found);
        let expr = sized?.expr;
        Some(Complex {
            text: text.to_owned(),
            expr,
        })
    }

    fn resolve(&self, root: &Node, mistakes: &mut Vec<Mistake>) -> Option<Sized> {
        let sized = self.node(root, mistakes)?;
        if sized.parts > MAX_PARTS {
            mistakes.push(too_large(root));
            return None;
        }
        Some(sized)
    }

    fn node(&self, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Sized> {
        let hopeless = mistakes
            .last()
            .is_some_and(|mistake| mistake.code == TOO_LARGE);
        if hopeless || mistakes.len() >= MAX_MISTAKES {
            return None;
        }
        let sized = match &node.kind {
            NodeKind::Name(name) => return self.name(name, node, mistakes),
            NodeKind::Not(child) => self.one(child, mistakes, Expr::Not),
            NodeKind::Degrade(child) => self.one(child, mistakes, Expr::Degrade),
            NodeKind::All(children) => self.many(children, mistakes, Expr::All),
            NodeKind::Any(children) => self.many(children, mistakes, Expr::Any),
            NodeKind::Majority(children) => {
                let need = u32::try_from(children.len() / 2 + 1).unwrap_or(u32::MAX);
                twice(children.iter(), "counts", mistakes);
                self.many(children, mistakes, |parts| Expr::AtLeast(need, parts))
            }
            NodeKind::AtLeast(need, children) => {
                let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
                twice(children.iter(), "counts", mistakes);
                let sense = possible(need, count, mistakes, || {
                    format!("{count} can pass at the most, {} must", need.value)
                });
                let parts = self.many(children, mistakes, |xs| Expr::AtLeast(need.value, xs));
                if sense { parts } else { None }
            }
            NodeKind::Weighted(need, children) => {
                twice(children.iter().map(|(_, child)| child), "weighs", mistakes);
                let sum = children
                    .iter()
                    .fold(0u32, |sum, (weight, _)| sum.saturating_add(weight.value));
                let mut sense = possible(need, sum, mistakes, || {
                    let weights: Vec<String> = children
                        .iter()
                        .map(|(weight, _)| weight.value.to_string())
                        .collect();
                    let need = need.value;
                    match weights.as_slice() {
                        [_] => format!("the only weight is {sum}; {need} must be reached"),
                        _ => format!(
                            "the weights are {}, together {sum}; {need} must be reached",
                            weights.join(" + ")
                        ),
                    }
                });
                for (weight, _) in children.iter().filter(|(weight, _)| weight.value == 0) {
                    sense = false;
                    mistakes.push(
                        Mistake::new(QUORUM, weight.range.clone(), "a weight of 0 says nothing")
                            .words("must be at least 1"),
                    );
                }
                let weights = children.iter().map(|(weight, _)| weight.value);
                let parts = self.gather(children.iter().map(|(_, child)| child), mistakes, |xs| {
                    Expr::Weighted(need.value, weights.zip(xs).collect())
                });
                if sense { parts } else { None }
            }
            NodeKind::When(guard, body) => {
                let guard = self.node(guard, mistakes);
                let body = self.node(body, mistakes);
                let (guard, body) = (guard?, body?);
                Some(Sized {
                    parts: guard.parts.saturating_add(body.parts).saturating_add(1),
                    depth: guard.depth.max(body.depth) + 1,
                    expr: Expr::When(Box::new(guard.expr), Box::new(body.expr)),
                })
            }
        }?;
        if sized.depth > MAX_DEPTH {
            mistakes.push(parse::too_deep(node.range.clone()));
            return None;
        }
        Some(sized)
    }

    fn name(&self, name: &str, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Sized> {
        if let Some(&index) = self.checks.get(name) {
            return Some(Sized {
                expr: Expr::Leaf(index),
                parts: 1,
                depth: 1,
            });
        }
        if let Some(expression) = self.expressions.get(name) {
            return expression.clone();
        }
        let known = || self.checks.keys().chain(self.expressions.keys()).copied();
        let mut mistake = Mistake::new(
            UNKNOWN,
            node.range.clone(),
            format!("there is no check or expression `{name}` in this group"),
        )
        .words("unknown");
        let lower = name.to_ascii_lowercase();
        if let Some(near) = nearest(&lower, known().chain(["and", "or", "not"])) {
            mistake = mistake.help(format!("did you mean `{near}`?"));
        }
        let mut list: Vec<&str> = known().collect();
        list.sort_unstable();
        mistakes.push(mistake.note(match list.len() {
            0 => "the group has no checks".to_owned(),
            1..=12 => format!("known: {}", list.join(", ")),
            n => format!(
                "known: {}, … ({n} names)",
                list.get(..12).unwrap_or(&[]).join(", ")
            ),
        }));
        None
    }

    fn one(
        &self,
        child: &Node,
        mistakes: &mut Vec<Mistake>,
        make: impl FnOnce(Box<Expr>) -> Expr,
    ) -> Option<Sized> {
        let child = self.node(child, mistakes)?;
        Some(Sized {
            parts: child.parts.saturating_add(1),
            depth: child.depth + 1,
            expr: make(Box::new(child.expr)),
        })
    }

    fn many(
        &self,
        children: &[Node],
        mistakes: &mut Vec<Mistake>,
        make: impl FnOnce(Vec<Expr>) -> Expr,
    ) -> Option<Sized> {
        self.gather(children.iter(), mistakes, make)
    }

    /// Every child is looked at even when one is wrong, so that all mistakes are found.
    fn gather<'n>(
        &self,
        children: impl Iterator<Item = &'n Node>,
        mistakes: &mut Vec<Mistake>,
        make: impl FnOnce(Vec<Expr>) -> Expr,
    ) -> Option<Sized> {
        let (mut parts, mut depth) = (1u32, 0);
        let mut exprs = Vec::new();
        let mut whole = true;
        for child in children {
            let Some(sized) = self.node(child, mistakes) else {
                whole = false;
                continue;
            };
            parts = parts.saturating_add(sized.parts);
            depth = depth.max(sized.depth);
            if parts > MAX_PARTS {
                mistakes.push(too_large(child));
                return None;
            }
            exprs.push(sized.expr);
        }
        whole.then(|| Sized {
            expr: make(exprs),
            parts,
            depth: depth + 1,
        })
    }
}

/// Whether a threshold can be missed and can be reached.
fn possible(
    need: &parse::Number,
    most: u32,
    mistakes: &mut Vec<Mistake>,
    arithmetic: impl FnOnce() -> String,
) -> bool {
    if need.value == 0 {
        mistakes.push(
            Mistake::new(
                QUORUM,
                need.range.clone(),
                "this always passes: it asks for 0",
            )
            .words("must be at least 1"),
        );
        return false;
    }
    if need.value > most {
        mistakes.push(
            Mistake::new(QUORUM, need.range.clone(), "this can never pass")
                .words(format!("must be at most {most}"))
                .note(arithmetic()),
        );
        return false;
    }
    true
}

/// A name that stands twice in one quorum is legal and seldom meant.
fn twice<'n>(children: impl Iterator<Item = &'n Node>, does: &str, mistakes: &mut Vec<Mistake>) {
    let mut seen = BTreeSet::new();
    for child in children {
        if let NodeKind::Name(name) = &child.kind
            && !seen.insert(name)
        {
            mistakes.push(
                Mistake::new(
                    TWICE,
                    child.range.clone(),
                    format!("`{name}` {does} twice here"),
                )
                .lint()
                .words("a second time"),
            );
        }
    }
}

fn too_large(node: &Node) -> Mistake {
    Mistake::new(
        TOO_LARGE,
        node.range.clone(),
        "this expression grows too large",
    )
    .words("too large with this")
    .note(format!(
        "{MAX_PARTS} parts are allowed, counting named expressions each time they are used"
    ))
}

/// Calls `each` with every name in the tree.
fn names_in(node: &Node, each: &mut impl FnMut(&str, Range<usize>)) {
    match &node.kind {
        NodeKind::Name(name) => each(name, node.range.clone()),
        NodeKind::Not(child) | NodeKind::Degrade(child) => names_in(child, each),
        NodeKind::All(children)
        | NodeKind::Any(children)
        | NodeKind::Majority(children)
        | NodeKind::AtLeast(_, children) => {
            for child in children {
                names_in(child, each);
            }
        }
        NodeKind::Weighted(_, children) => {
            for (_, child) in children {
                names_in(child, each);
            }
        }
        NodeKind::When(guard, body) => {
            names_in(guard, each);
            names_in(body, each);
        }
    }
}
