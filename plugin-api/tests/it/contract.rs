//! One contract, two doors: the same checks linked in and loaded from a library.

use std::time::Duration;

use checkd_plugin_api::host::{KindFacts, PluginFacts, Request};
use checkd_plugin_api::testkit::{Contract, Linked, Subject, SubjectInstance, json};
use checkd_plugin_api::{Problems, Sample};

use crate::checks;
use crate::door::{self, Loaded};

/// A kind in the loaded library.
struct OfLibrary(&'static str);

struct InstanceOfLibrary {
    loaded: Loaded,
    number: u64,
    runs: u64,
}

impl Subject for OfLibrary {
    fn facts(&self) -> KindFacts {
        let facts: PluginFacts = serde_json::from_str(&(door::load().describe())()).unwrap();
        facts
            .kinds
            .into_iter()
            .find(|kind| kind.kind == self.0)
            .unwrap()
    }
    fn configure(&self, options: &str) -> Result<Box<dyn SubjectInstance>, Problems> {
        let loaded = Loaded::new();
        let number = loaded.try_configure(self.0, options)?;
        Ok(Box::new(InstanceOfLibrary {
            loaded,
            number,
            runs: 0,
        }))
    }
}

impl SubjectInstance for InstanceOfLibrary {
    fn run(&mut self, request: &Request, timeout: Duration) -> Vec<Sample> {
        self.runs += 1;
        self.loaded
            .submit_about(self.number, self.runs, request, timeout);
        let (instance, run, sample) = self.loaded.answer();
        assert_eq!((instance, run), (self.number, self.runs));
        let mut samples = vec![sample];
        samples.extend(self.loaded.more());
        samples
    }
}

impl Drop for InstanceOfLibrary {
    fn drop(&mut self) {
        (self.loaded.plugin.release())(self.number);
    }
}

fn hold(subject: &dyn Subject) {
    Contract::new(json!({ "mode": "count" }))
        .peer(|peer| json!({ "mode": "ask", "port": peer.port() }))
        .panics(json!({ "mode": "panic" }))
        .hold(subject);
}

#[test]
fn linked_in() {
    hold(&Linked::of::<checks::Awaited>());
    hold(&Linked::blocking::<checks::Holding>());
}

#[test]
fn loaded_from_a_library() {
    hold(&OfLibrary("awaited"));
    hold(&OfLibrary("holding"));
}

#[test]
fn both_say_the_same_about_themselves() {
    for kind in ["awaited", "holding"] {
        assert_eq!(Linked::kind(kind).facts(), OfLibrary(kind).facts());
    }
}
