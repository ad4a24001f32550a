//! What a run may know: whom it is about, and how much time it has.

use std::time::{Duration, Instant};

use crate::host::Request;

/// What a run may know: whom it is about, and how much time it has.
#[derive(Clone, Debug)]
pub struct Context {
    request: Request,
    timeout: Duration,
    deadline: Instant,
}

impl Context {
    /// A context for one run that begins now. Made by checkd and by tests, not by checks.
    #[must_use]
    pub fn new(request: Request, timeout: Duration) -> Self {
        let now = Instant::now();
        // A span that does not fit the clock is as good as an hour.
        let deadline = now
            .checked_add(timeout)
            .unwrap_or(now + Duration::from_hours(1));
        Self {
            request,
            timeout,
            deadline,
        }
    }

    /// The group that the check belongs to.
    pub fn group(&self) -> &str {
        &self.request.group
    }
    /// The member; `None` for scope `host` and `dependency`.
    pub fn member(&self) -> Option<&str> {
        self.request.member.as_deref()
    }
    /// The member's index, from 0; `None` for scope `host` and `dependency`.
    pub fn index(&self) -> Option<u32> {
        self.request.index
    }
    /// The member's process id; `None` when it has no process, and for scope `host` and
    /// `dependency`.
    pub fn pid(&self) -> Option<u32> {
        self.request.pid
    }
    /// The member's port; `None` when its group has no ports.
    pub fn port(&self) -> Option<u16> {
        self.request.port
    }
    /// How long the run may take in all.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
    /// When the run must be done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
    /// How much time is left; zero after the deadline.
    ///
    /// The sockets of the standard library refuse a timeout of zero, which is then their way to
    /// say that the time is up.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
