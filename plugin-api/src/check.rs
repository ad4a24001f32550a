//! The life of a check: what an author implements.

use std::future::Future;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Context, Descriptor, Problems, Sample};

/// A check whose run waits without holding a thread.
///
/// # The life of a check
///
/// 1. **Describe.** [`DESCRIPTOR`](Self::DESCRIPTOR) and the schema of [`Options`](Self::Options)
///    are constants. checkd reads them without making a check.
/// 2. **Configure.** checkd replaces placeholders (`{group} {member} {index} {pid} {port}`) in the
///    options, reads secrets, refuses unknown and ill-typed options itself, and calls
///    [`configure`](Self::configure). It is pure: no connection, no file, no thread; it reports all
///    mistakes at once. There is one instance per check and member.
/// 3. **Run.** [`run`](Self::run) is one attempt, once at a time per instance. It judges the target
///    against its own options and says so in one [`Sample`]; how often and how long a failure must
///    last is not its business. What it remembers between runs lives in `self`, never in a static,
///    and may vanish at any time: a check that does not know yet says [`Sample::unknown`].
///    - A target that is silent is a Fail: a run that still waits at
///      [`Context::deadline`] is ended, and checkd reports Fail(timeout) for it.
///    - A check that may not or cannot look is Unknown.
///    - A run that panics is Unknown(crashed); its instance is thrown away and configured anew.
///    - A run that is still busy one second after the deadline is Unknown(overran).
/// 4. **Drop.** Whatever it holds is closed. There is nothing else to call.
///
/// Await only what the SDK's runtime drives (tokio's net, time, io and sync); bring no runtime of
/// your own, and never hold the thread, which all awaited checks of a plugin share: a check that must
/// block is a [`BlockingCheck`].
pub trait Check: Sized + Send + 'static {
    /// What a person writes; `#[serde(deny_unknown_fields)]` and a doc sentence per field.
    type Options: DeserializeOwned + JsonSchema;
    /// What the kind says about itself.
    const DESCRIPTOR: Descriptor;
    /// Makes a check of these options, or says all that is wrong with them.
    fn configure(options: Self::Options) -> Result<Self, Problems>;
    /// One attempt, to be done before [`Context::deadline`].
    fn run(&mut self, cx: &Context) -> impl Future<Output = Sample> + Send;
}

/// A check whose run holds a thread while it waits; its life is that of [`Check`].
///
/// Give [`Context::remaining`] to your sockets and children as their timeout. When you cannot, and a
/// run is stuck in a system call at its deadline, checkd sees the thread wait, reports Fail(timeout),
/// abandons the thread and configures a fresh instance for the next run. A thread that sleeps, waits
/// for a lock or burns CPU time says nothing about the target: that run is Unknown(overran).
pub trait BlockingCheck: Sized + Send + 'static {
    /// What a person writes; `#[serde(deny_unknown_fields)]` and a doc sentence per field.
    type Options: DeserializeOwned + JsonSchema;
    /// What the kind says about itself.
    const DESCRIPTOR: Descriptor;
    /// Makes a check of these options, or says all that is wrong with them.
    fn configure(options: Self::Options) -> Result<Self, Problems>;
    /// One attempt, to be done before [`Context::deadline`].
    fn run(&mut self, cx: &Context) -> Sample;
}
