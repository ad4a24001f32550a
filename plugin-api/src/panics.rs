//! What a panic said.

use std::any::Any;

use crate::{Cause, Sample};

/// The text of a panic, for a person.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a value that is not text"
    }
}

/// The sample of a run that panicked.
pub(crate) fn sample(payload: &(dyn Any + Send)) -> Sample {
    Sample::unknown(
        Cause::Crashed,
        format!("the check panicked: {}", message(payload)),
    )
    .sealed()
}

/// Throws a value of an author's type away; a panic in its `drop` ends here.
pub(crate) fn discard<T>(value: T) {
    // What a destructor says while it panics helps nobody; the default hook has printed it.
    drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(
        || drop(value),
    )));
}
