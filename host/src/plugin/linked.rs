//! Built-ins are called directly: an asynchronous one is awaited, a blocking one goes to a pool.

use std::sync::Arc;
use std::time::Duration;

use checkd_plugin_api::host::{BlockingPool, Live};
use checkd_plugin_api::{Context, Sample};
use serde_json::{Map, Value};

use super::catalog::Linked;
use super::convert;
use super::protocol::{Problem, Target};

/// So many blocking runs of one plugin are in flight, and so many may hang besides them.
pub(crate) const BLOCKING_MAX: usize = 16;

/// Threads for the blocking built-ins.
#[derive(Clone)]
pub(crate) struct Pool(Arc<BlockingPool>);

/// A configured built-in.
pub(crate) struct BuiltIn(Live);

impl Pool {
    /// No thread is made before the first run.
    pub(crate) fn new() -> Self {
        Self(Arc::new(BlockingPool::new(BLOCKING_MAX, BLOCKING_MAX)))
    }
}

impl BuiltIn {
    /// Makes an instance, or says all that is wrong with the options.
    pub(crate) fn configure(
        Linked(registration): Linked,
        options: &Map<String, Value>,
    ) -> Result<Self, Vec<Problem>> {
        let options = serde_json::to_string(options).unwrap_or_default();
        match Live::configure(registration, &options) {
            Ok(live) => Ok(Self(live)),
            Err(problems) => Err(convert::problems(&problems)),
        }
    }

    /// One run. A panic of the check is a sample.
    pub(crate) async fn run(&mut self, target: &Target, limit: Duration, pool: &Pool) -> Sample {
        let context = Context::new(convert::request(target), limit);
        self.0.run(&context, &pool.0).await
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("stuck", &self.0.stuck())
            .finish()
    }
}

impl std::fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuiltIn").finish_non_exhaustive()
    }
}
