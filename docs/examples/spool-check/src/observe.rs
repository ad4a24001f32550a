//! One look at the directory.

use std::fs;
use std::io::{Error, ErrorKind};
use std::time::{Duration, SystemTime};

use crate::judge::{Observation, Spool};

/// Reads the directory while `remaining` says that there is time.
pub(crate) fn observe(directory: &str, remaining: impl Fn() -> Duration) -> Observation {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return trouble(&error),
    };
    let now = SystemTime::now();
    let mut spool = Spool::default();
    for entry in entries {
        if remaining().is_zero() {
            return Observation::NotToItsEnd(spool);
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return trouble(&error),
        };
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let written = match entry.metadata() {
            Ok(facts) if facts.is_file() => facts.modified(),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        match written {
            Ok(written) => {
                let age = now.duration_since(written).unwrap_or_default();
                spool.depth += 1;
                spool.oldest = Some(spool.oldest.unwrap_or_default().max(age));
            }
            // Taken out of the spool in this moment: that is what it is for.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return trouble(&error),
        }
    }
    Observation::Seen(spool)
}

fn trouble(error: &Error) -> Observation {
    match error.kind() {
        ErrorKind::NotFound => Observation::Missing,
        ErrorKind::PermissionDenied => Observation::Forbidden,
        _ => {
            let why = error.to_string().to_lowercase();
            Observation::Unreadable(
                why.split(" (os error")
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            )
        }
    }
}
