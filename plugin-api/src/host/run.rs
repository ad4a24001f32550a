//! One run of a bare instance: its deadline, its panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use super::{AsyncInstance, BlockingInstance};
use crate::{Cause, Context, Sample, panics};

/// How one run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What it says.
    pub(crate) sample: Sample,
    /// Whether the check panicked: its instance must not be used again.
    pub(crate) panicked: bool,
}

/// One attempt of an asynchronous check, ended as Fail(timeout) at the deadline; a panic becomes
/// Unknown(crashed), after which the instance must be thrown away. Needs a tokio runtime with time.
pub async fn run_async(instance: &mut dyn AsyncInstance, cx: &Context) -> Sample {
    guarded(instance, cx).await.sample
}

pub(crate) async fn guarded(instance: &mut dyn AsyncInstance, cx: &Context) -> Ended {
    let deadline = tokio::time::Instant::from_std(cx.deadline());
    let run = async {
        // The first part of a hand-written `run` happens before there is a future to poll.
        let made = catch_unwind(AssertUnwindSafe(|| {
            let instance = instance;
            instance.run(cx)
        }));
        let mut future = pin!(made?);
        std::future::poll_fn(|task| {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(sample)) => Poll::Ready(Ok(sample)),
                Err(payload) => Poll::Ready(Err(payload)),
            }
        })
        .await
    };
    match tokio::time::timeout_at(deadline, run).await {
        Ok(Ok(sample)) => Ended {
            sample: sample.sealed(),
            panicked: false,
        },
        Ok(Err(payload)) => Ended {
            sample: panics::sample(&*payload),
            panicked: true,
        },
        Err(_) => Ended {
            sample: timed_out(cx),
            panicked: false,
        },
    }
}

/// One attempt of a blocking check on this thread; a panic becomes Unknown(crashed), after which the
/// instance must be thrown away. Nothing ends it at the deadline: see
/// [`BlockingPool`](super::BlockingPool).
pub fn run_blocking(instance: &mut dyn BlockingInstance, cx: &Context) -> Sample {
    guarded_blocking(instance, cx).sample
}

pub(crate) fn guarded_blocking(instance: &mut dyn BlockingInstance, cx: &Context) -> Ended {
    match catch_unwind(AssertUnwindSafe(|| instance.run(cx))) {
        Ok(sample) => Ended {
            sample: sample.sealed(),
            panicked: false,
        },
        Err(payload) => Ended {
            sample: panics::sample(&*payload),
            panicked: true,
        },
    }
}

/// The sample of a run that still waited for its target at the deadline.
pub(crate) fn timed_out(cx: &Context) -> Sample {
    Sample::fail(Cause::Timeout, format!("no answer within {}", span(cx)))
}

/// The sample of a run that was busy with itself at the deadline and a second later.
pub(crate) fn overran(cx: &Context) -> Sample {
    let message = format!(
        "the check did not come back after its timeout of {}",
        span(cx)
    );
    Sample::unknown(Cause::Overran, message)
}

fn span(cx: &Context) -> crate::units::Span {
    crate::units::Span::millis(u64::try_from(cx.timeout().as_millis()).unwrap_or(u64::MAX))
}
