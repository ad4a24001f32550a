//! `checkd replay --config OTHER`: what another configuration would have done, as text.

use checkd_core::Span;

use crate::replay::{Other, Otherwise};
use crate::wall;

use super::super::paint::{Ink, Paper};
use super::plural;

pub(super) fn render(all: &Otherwise, file: &str, paper: Paper) -> String {
    let mut out = String::new();
    let width = all.acts.iter().map(|act| act.path.chars().count());
    let width = width.max().unwrap_or(0).min(32);
    for act in &all.acts {
        let time = wall::date_and_time(act.first_ms());
        let head = format!("{time}  {:width$}  ", act.path);
        let (text, ink) = sentence(act);
        paper.hang(&mut out, &head, 19 + 2 + width + 2, &text, ink);
    }
    for why in &all.cannot {
        let text = format!("a segment cannot be replayed: {why}");
        paper.hang(&mut out, "", 0, &text, Ink::Unsure);
    }
    let count = |which: fn(&Other) -> bool| all.acts.iter().filter(|act| which(act)).count();
    let text = format!(
        "with {file}: {} the same, {} at another time, {} not, {} more",
        plural(all.same, "act"),
        count(|act| act.was_ms.is_some() && act.would_ms.is_some()),
        count(|act| act.would_ms.is_none()),
        count(|act| act.was_ms.is_none()),
    );
    paper.hang(&mut out, "", 0, &text, Ink::Strong);
    if all.gone > 0 {
        let are = if all.gone == 1 { "is" } else { "are" };
        let text = format!(
            "{} {are} of members that it does not have",
            plural(all.gone, "act")
        );
        paper.hang(&mut out, "", 0, &text, Ink::Unsure);
    }
    let limit = "at each moment the other configuration is asked what it would do if all that was done until \
                 then had been done under it; what would have come of another act nobody knows";
    paper.hang(&mut out, "", 0, limit, Ink::Quiet);
    out
}

fn sentence(act: &Other) -> (String, Ink) {
    let (step, because) = (act.step, &act.because);
    match (act.was_ms, act.would_ms) {
        (Some(was), Some(would)) => {
            let apart = Span(was.abs_diff(would));
            let when = if would < was { "earlier" } else { "later" };
            let text = format!("{step} would have been {apart} {when}: {because}");
            (text, Ink::Plain)
        }
        (Some(_), None) => {
            let mut text = format!("{step} would not have been by then: {because}");
            if let Some(instead) = &act.instead {
                text.push_str("; instead: ");
                text.push_str(instead);
            }
            (text, Ink::Good)
        }
        (None, _) => (
            format!("{step} would have been besides: {because}"),
            Ink::Busy,
        ),
    }
}
