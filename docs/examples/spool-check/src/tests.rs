//! A table for the judge, and looks at real directories.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use checkd_plugin_api::testkit::{self, Linked, json};
use checkd_plugin_api::{Cause, Status};
use tempfile::TempDir;

use crate::judge::{Observation, Spool, judge};
use crate::observe::observe;
use crate::options::{Missing, Options};

fn spool_check() -> Linked {
    Linked::blocking::<crate::Spool>()
}

/// A directory with files of these ages, in minutes.
fn spool(minutes: &[u64]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (number, minutes) in minutes.iter().enumerate() {
        let file = File::create(directory.path().join(format!("job-{number}"))).unwrap();
        let written = SystemTime::now() - Duration::from_secs(60 * minutes);
        file.set_modified(written).unwrap();
    }
    directory
}

#[test]
fn it_holds_the_contract_of_every_check() {
    let options = json!({ "directory": "/nowhere", "max_depth": 1 });
    testkit::contract_blocking::<crate::Spool>(options.to_string());
}

#[test]
fn mistakes_are_told_together_and_each_with_its_option() {
    for (options, expected) in [
        (json!({ "directory": "/a", "max_depth": 1 }), &[][..]),
        (
            json!({ "directory": "a", "max_age": "1m", "missing": "fail" }),
            &[],
        ),
        (json!({ "max_depth": 1 }), &["`directory`: is required"]),
        (
            json!({ "directory": "/a" }),
            &["`max_depth`: or `max_age` must be set"],
        ),
        (
            json!({ "directory": "", "max_age": "0s" }),
            &["`directory`: is empty", "`max_age`: is zero"],
        ),
        (
            json!({ "directory": "/a", "max_age": 60 }),
            &["`max_age`: `60` has no unit"],
        ),
        (
            json!({ "directory": "/a", "max_depth": -1 }),
            &["`max_depth`: "],
        ),
        (
            json!({ "directory": "/a", "max_depth": 1, "missing": "pass" }),
            &["`missing`: "],
        ),
        (
            json!({ "directory": "/a", "max_dept": 1 }),
            &["`max_dept`: unknown option"],
        ),
    ] {
        let found = spool_check().problems(&options);
        assert!(found.len() >= expected.len(), "{options}: {found:?}");
        assert_eq!(
            found.is_empty(),
            expected.is_empty(),
            "{options}: {found:?}"
        );
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{options}: {found}");
        }
    }
}

#[test]
fn each_observation_has_its_sample() {
    let options = |missing| Options {
        directory: "/spool".to_owned(),
        max_depth: Some(10),
        max_age: Some("10m".parse().unwrap()),
        missing,
    };
    let seen = |depth, minutes: u64| {
        let oldest = Some(Duration::from_millis(60_000 * minutes + 1));
        Observation::Seen(Spool { depth, oldest })
    };
    let fail = |cause| (Status::Fail, Some(cause));
    let unknown = |cause| (Status::Unknown, Some(cause));
    for (missing, observation, expected, message) in [
        (
            Missing::Fail,
            Observation::Seen(Spool::default()),
            (Status::Pass, None),
            "empty",
        ),
        (
            Missing::Fail,
            seen(1, 9),
            (Status::Pass, None),
            "1 file, the oldest has waited for 9m",
        ),
        (
            Missing::Fail,
            seen(10, 9),
            (Status::Pass, None),
            "10 files, the oldest has waited for 9m",
        ),
        (
            Missing::Fail,
            seen(11, 9),
            fail(Cause::Wrong),
            "11 files over 10",
        ),
        (
            Missing::Fail,
            seen(1, 10),
            fail(Cause::Stale),
            "the oldest has waited for 10m, over 10m (1 file)",
        ),
        (
            Missing::Fail,
            seen(11, 90),
            fail(Cause::Wrong),
            "11 files over 10, and the oldest has waited for 1h30m, over 10m",
        ),
        (
            Missing::Fail,
            Observation::NotToItsEnd(Spool {
                depth: 99,
                oldest: None,
            }),
            fail(Cause::Timeout),
            "more than 99 files, too many to read in time, /spool",
        ),
        (
            Missing::Fail,
            Observation::Missing,
            fail(Cause::Wrong),
            "there is no directory /spool",
        ),
        (
            Missing::Unknown,
            Observation::Missing,
            unknown(Cause::Misconfigured),
            "there is no directory /spool",
        ),
        (
            Missing::Fail,
            Observation::Forbidden,
            unknown(Cause::NoPermission),
            "not allowed to read /spool",
        ),
        (
            Missing::Fail,
            Observation::Unreadable("not a directory".to_owned()),
            unknown(Cause::Misconfigured),
            "cannot read /spool: not a directory",
        ),
    ] {
        let sample = judge(&options(missing), &observation);
        assert_eq!((sample.status, sample.cause), expected, "{observation:?}");
        assert_eq!(sample.message, message, "{observation:?}");
    }
}

#[test]
fn files_that_wait_are_counted_and_their_age_is_told() {
    let directory = spool(&[1, 30, 5]);
    // What is still being written, and what is no file, does not wait.
    fs::write(directory.path().join(".job-9"), "").unwrap();
    fs::create_dir(directory.path().join("below")).unwrap();
    let path = directory.path().display().to_string();

    let sample = spool_check().run(json!({ "directory": path, "max_depth": 3, "max_age": "1h" }));
    assert_eq!(sample.message, "3 files, the oldest has waited for 30m");
    let depth = &sample.measurements[0];
    assert_eq!(
        (&*depth.name, depth.value, depth.limit),
        ("depth", 3.0, Some(3.0))
    );
    let age = &sample.measurements[1];
    assert_eq!(
        (&*age.name, &*age.unit, age.limit),
        ("age", "s", Some(3600.0))
    );
    assert!((1800.0..1900.0).contains(&age.value), "{age:?}");

    let sample = spool_check().run(json!({ "directory": path, "max_depth": 2 }));
    assert_eq!(sample.message, "3 files over 2");
    let sample = spool_check().run(json!({ "directory": path, "max_age": "20m" }));
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Fail, Some(Cause::Stale))
    );
}

#[test]
fn what_is_no_directory_is_unknown() {
    let directory = spool(&[1]);
    let path = |name: &str| directory.path().join(name).display().to_string();
    let sample = spool_check().run(json!({ "directory": path("nowhere"), "max_depth": 1 }));
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Unknown, Some(Cause::Misconfigured))
    );
    let options = json!({ "directory": path("nowhere"), "max_depth": 1, "missing": "fail" });
    assert_eq!(spool_check().run(&options).status, Status::Fail);
    let sample = spool_check().run(json!({ "directory": path("job-0"), "max_depth": 1 }));
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Unknown, Some(Cause::Misconfigured))
    );
    assert!(sample.message.ends_with("not a directory"), "{sample:?}");
}

#[test]
fn a_look_ends_with_its_time() {
    let directory = spool(&[1, 2]);
    let seen = observe(&directory.path().display().to_string(), || Duration::ZERO);
    assert!(
        matches!(seen, Observation::NotToItsEnd(spool) if spool.depth == 0),
        "{seen:?}"
    );
}
