//! A kind behind some door, as the contract suite sees it.

use std::time::Duration;

use crate::host::{KindFacts, Request};
use crate::{Problems, Sample};

/// One kind behind some door: linked in, loaded from a library, in a worker process.
pub trait Subject {
    /// What the kind says about itself.
    fn facts(&self) -> KindFacts;
    /// Makes an instance of options as JSON, placeholders and secrets already replaced.
    fn configure(&self, options: &str) -> Result<Box<dyn SubjectInstance>, Problems>;
}

/// A configured check behind some door.
pub trait SubjectInstance {
    /// One run about `request`, with so much time. Returns all answers that the door gave, which
    /// ought to be one: where it can give more, it waits a moment for another.
    fn run(&mut self, request: &Request, timeout: Duration) -> Vec<Sample>;
}
