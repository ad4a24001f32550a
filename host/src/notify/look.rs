//! What is told without an incident has no end that the engine tells: that a member is blind. So it is
//! looked at now and then whether it still is.

use std::sync::Arc;
use std::time::Duration;

use checkd_core::Status;
use checkd_core::news::{Role, Urgency};
use tokio::sync::oneshot;

use super::news::News;
use crate::api::Live;
use crate::daemon::Question;
use crate::wall;

/// From one look to the next.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// So many members are looked at in one go: each is a question to the loop.
pub(super) const AT_ONCE: usize = 200;
/// The event that is meant, and the label that a member has while it is so.
pub(super) const EVENT: &str = "blind";

/// The ends of what is over, of what was told.
pub(super) async fn over(live: &Live, told: Vec<News>) -> Vec<News> {
    let mut ends = Vec::new();
    for news in told {
        if let Some(summary) = sees(live, &news).await {
            ends.push(News {
                at_ms: wall::now_ms(),
                event: "recovered".to_owned(),
                role: Role::End,
                urgency: Urgency::Info,
                headline: "not blind any more".to_owned(),
                text: summary,
                ..news
            });
        }
    }
    ends
}

/// What is now, when it is not so any more; nothing when it is, or nobody can say.
async fn sees(live: &Live, news: &News) -> Option<String> {
    let plan = Arc::clone(&live.plan.borrow());
    let id = plan.find(news.group.as_deref()?, news.member.as_deref()?)?;
    let (answer, report) = oneshot::channel();
    live.questions
        .send((plan, Question::Explain(id, answer)))
        .await
        .ok()?;
    let report = report.await.ok().flatten()?;
    // A daemon that has just begun knows what was, and has to hear first what is.
    let heard = |status: Option<Status>| status.is_some_and(|status| status != Status::Unknown);
    let mut leaves = report.checks.iter();
    let over = !report.labels.iter().any(|label| label == EVENT)
        && heard(Some(report.live))
        && leaves.all(|leaf| !report.blame.contains(&leaf.check) || heard(leaf.latest));
    over.then(|| format!("its checks give an answer again: {}", report.summary))
}
