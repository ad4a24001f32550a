//! A kind that is linked into the test.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::{Contract, Subject, SubjectInstance};
use crate::host::{BlockingPool, KindFacts, Live, Registration, Request, registered};
use crate::{BlockingCheck, Check, Context, Problems, Sample};

/// Holds a [`Check`] that is linked in to the contract: see [`Contract`].
///
/// # Panics
///
/// When a clause is broken: the message lists every one.
pub fn contract<T: Check>(options: impl ToString) {
    Contract::new(options).hold(&Linked::of::<T>());
}

/// Holds a [`BlockingCheck`] that is linked in to the contract: see [`Contract`].
///
/// # Panics
///
/// When a clause is broken: the message lists every one.
pub fn contract_blocking<T: BlockingCheck>(options: impl ToString) {
    Contract::new(options).hold(&Linked::blocking::<T>());
}

/// A kind that is linked in, with the threads and the runtime that its runs need.
///
/// ```
/// # use checkd_plugin_api::{*, testkit::{self, Linked, json}};
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # #[serde(crate = "checkd_plugin_api::serde", deny_unknown_fields)]
/// # #[schemars(crate = "checkd_plugin_api::schemars")]
/// # struct Options { limit: u32 }
/// # struct Depth(u32);
/// # impl Check for Depth {
/// #     type Options = Options;
/// #     const DESCRIPTOR: Descriptor = Descriptor::new("depth", "how deep it is");
/// #     fn configure(options: Options) -> Result<Self, Problems> { Ok(Self(options.limit)) }
/// #     async fn run(&mut self, _: &Context) -> Sample { Sample::pass(format!("1 of {}", self.0)) }
/// # }
/// # register_check!(Depth);
/// # fn main() {
/// let depth = Linked::of::<Depth>();
/// assert_eq!(depth.problems(json!({ "limit": 5 })), [""; 0]);
/// assert_eq!(depth.problems(json!({})), ["`limit`: is required"]);
/// assert_eq!(depth.run(json!({ "limit": 5 })), Sample::pass("1 of 5"));
/// # }
/// ```
pub struct Linked {
    registration: &'static Registration,
    means: Arc<Means>,
}

struct Means {
    runtime: Runtime,
    pool: BlockingPool,
}

struct LinkedInstance {
    live: Live,
    means: Arc<Means>,
}

/// How long the runs of [`Linked::run`] may take.
const PATIENCE: Duration = Duration::from_secs(20);

impl Linked {
    /// The kind of a [`Check`].
    ///
    /// # Panics
    ///
    /// When the check is not registered.
    #[must_use]
    pub fn of<T: Check>() -> Self {
        Self::kind(T::DESCRIPTOR.kind)
    }

    /// The kind of a [`BlockingCheck`].
    ///
    /// # Panics
    ///
    /// When the check is not registered.
    #[must_use]
    pub fn blocking<T: BlockingCheck>() -> Self {
        Self::kind(T::DESCRIPTOR.kind)
    }

    /// A kind by its name.
    ///
    /// # Panics
    ///
    /// When no check or more than one of that name is registered, and when the system cannot give a
    /// runtime.
    #[must_use]
    #[expect(clippy::panic, reason = "a test's own trouble")]
    pub fn kind(kind: &str) -> Self {
        let mut found = registered().filter(|r| r.descriptor().kind == kind);
        let registration = match (found.next(), found.next()) {
            (Some(registration), None) => registration,
            (None, _) => panic!("kind `{kind}` is not registered: `register_check!` is missing"),
            (Some(_), Some(_)) => panic!("kind `{kind}` is registered twice"),
        };
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("no runtime: {error}"),
        };
        Self {
            registration,
            means: Arc::new(Means {
                runtime,
                pool: BlockingPool::new(4, 16),
            }),
        }
    }

    /// What the kind says about these options, each problem as text; none when it takes them.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads well with values, texts, references"
    )]
    pub fn problems(&self, options: impl ToString) -> Vec<String> {
        match self.configure(&options.to_string()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    /// One run of a fresh instance about [`request`](super::request), with time enough.
    ///
    /// # Panics
    ///
    /// When the kind does not take the options.
    #[must_use]
    pub fn run(&self, options: impl ToString) -> Sample {
        self.run_within(options, &super::request(), PATIENCE)
    }

    /// One run of a fresh instance.
    ///
    /// # Panics
    ///
    /// When the kind does not take the options.
    #[must_use]
    #[expect(clippy::panic, reason = "a test's own trouble")]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads well with values, texts, references"
    )]
    pub fn run_within(
        &self,
        options: impl ToString,
        request: &Request,
        timeout: Duration,
    ) -> Sample {
        match Live::configure(self.registration, &options.to_string()) {
            Ok(mut live) => self.means.run(&mut live, request, timeout),
            Err(problems) => panic!("{}: {problems}", options.to_string()),
        }
    }
}

impl Means {
    fn run(&self, live: &mut Live, request: &Request, timeout: Duration) -> Sample {
        let cx = Context::new(request.clone(), timeout);
        self.runtime.block_on(live.run(&cx, &self.pool))
    }
}

impl Subject for Linked {
    fn facts(&self) -> KindFacts {
        self.registration.facts()
    }
    fn configure(&self, options: &str) -> Result<Box<dyn SubjectInstance>, Problems> {
        let live = Live::configure(self.registration, options)?;
        Ok(Box::new(LinkedInstance {
            live,
            means: Arc::clone(&self.means),
        }))
    }
}

impl SubjectInstance for LinkedInstance {
    fn run(&mut self, request: &Request, timeout: Duration) -> Vec<Sample> {
        vec![self.means.run(&mut self.live, request, timeout)]
    }
}
