//! The same source passes the same contract suite linked in, in a worker process, and loaded into the
//! host itself: built-ins have no power that a plugin lacks.

use std::sync::Arc;
use std::time::Duration;

use checkd_core::CheckKind;
use checkd_core::plan::{ConfinePlan, Isolation, PluginPlan, PluginSource};
use checkd_host::plugin::{Catalog, Offer, Problem, Target};
use checkd_host::runner::{Hand, Held};
use checkd_plugin_api::host::{KindFacts, Request};
use checkd_plugin_api::testkit::{Contract, Subject, SubjectInstance, request};
use checkd_plugin_api::{Problems, Sample};
use checkd_tests::{checkd_binary, library};
use serde_json::{Map, Value, json};

/// A kind behind a door of the host: its catalog, its runner, its conversion.
struct Behind {
    catalog: Arc<Catalog>,
    hand: Hand,
    kind: CheckKind,
}

struct Instance(Held);

impl Behind {
    /// `kind` of this host's built-ins.
    fn linked(kind: &str) -> Self {
        let (catalog, told) = Catalog::open(&[], &[]);
        assert_eq!(told, []);
        Self::of(catalog, kind)
    }

    /// `kind` of all built-ins as a plugin, which then are offered twice: so this host's own are
    /// left out.
    fn loaded(kind: &str, isolation: Isolation) -> Self {
        let path = library("tests/fixtures/builtins-dylib", "builtins_dylib");
        let plugin = PluginPlan {
            name: "builtins".to_owned(),
            source: PluginSource::Library(path.to_string_lossy().into_owned()),
            sha256: None,
            isolation,
            confine: ConfinePlan::default(),
        };
        let (catalog, told) = Catalog::open_alone(checkd_binary(), &[plugin]);
        assert_eq!(told, []);
        Self::of(catalog, kind)
    }

    fn of(catalog: Catalog, kind: &str) -> Self {
        let catalog = Arc::new(catalog);
        let hand = Hand::new(Arc::clone(&catalog)).expect("there are threads");
        let kind = CheckKind::new(kind).expect("a kind's name");
        Self {
            catalog,
            hand,
            kind,
        }
    }

    fn offer(&self) -> &Offer {
        let mut offers = self.catalog.offers();
        offers
            .find(|offer| offer.facts.kind == self.kind)
            .unwrap_or_else(|| panic!("nobody offers `{}`", self.kind))
    }
}

impl Subject for Behind {
    fn facts(&self) -> KindFacts {
        let offer = self.offer();
        let facts = json!({
            "kind": offer.facts.kind,
            "summary": offer.summary,
            "scope": offer.facts.scope,
            "passive": offer.facts.passive,
            "blocking": offer.blocking,
            "options": offer.facts.options,
            "example": offer.example,
            "package": offer.package,
        });
        serde_json::from_value(facts).expect("facts keep their shape")
    }

    fn configure(&self, options: &str) -> Result<Box<dyn SubjectInstance>, Problems> {
        let options: Map<String, Value> = match serde_json::from_str(options) {
            Ok(options) => options,
            Err(error) => return Err(Problems::one("", error.to_string())),
        };
        let problems = self.catalog.try_configure(&self.kind, &options, &target());
        if problems.is_empty() {
            let held = self.hand.hold(&self.kind, options, target());
            return Ok(Box::new(Instance(held.expect("somebody offers it"))));
        }
        let mut told = Problems::none();
        for Problem {
            option, message, ..
        } in problems
        {
            told.add(option.unwrap_or_default(), message);
        }
        Err(told)
    }
}

impl SubjectInstance for Instance {
    fn run(&mut self, about: &Request, timeout: Duration) -> Vec<Sample> {
        assert_eq!(about, &request(), "an instance is of one target");
        let sample = serde_json::to_value(self.0.run(timeout)).expect("a sample is JSON");
        vec![serde_json::from_value(sample).expect("core and plugins say the same words")]
    }
}

/// Whom the suite's runs are about.
fn target() -> Target {
    let request = serde_json::to_value(request()).expect("a request is JSON");
    serde_json::from_value(request).expect("the protocol and plugins say the same words")
}

/// Holds a kind to the contract through every door.
#[track_caller]
fn everywhere(kind: &str, contract: &Contract) {
    contract.hold(&Behind::linked(kind));
    contract.hold(&Behind::loaded(kind, Isolation::Process));
    contract.hold(&Behind::loaded(kind, Isolation::InProcess));
}

#[test]
fn http_is_the_same_through_every_door() {
    let contract = Contract::new(json!({ "url": "http://127.0.0.1:1/" }))
        .peer(|peer| json!({ "url": format!("http://{peer}/") }));
    everywhere("http", &contract);
}

#[test]
fn tcp_is_the_same_through_every_door() {
    let contract = Contract::new(json!({ "port": 1 }))
        .peer(|peer| json!({ "port": peer.port(), "expect": "PONG" }));
    everywhere("tcp", &contract);
}

#[test]
fn memory_is_the_same_through_every_door() {
    everywhere("memory", &Contract::new(json!({ "max_rss": "1GiB" })));
}

#[test]
fn a_kind_that_is_built_in_and_in_a_plugin_is_nobodys() {
    let path = library("tests/fixtures/builtins-dylib", "builtins_dylib");
    let plugin = PluginPlan {
        name: "builtins".to_owned(),
        source: PluginSource::Library(path.to_string_lossy().into_owned()),
        sha256: None,
        isolation: Isolation::Process,
        confine: ConfinePlan::default(),
    };
    let (catalog, told) = Catalog::open_with(checkd_binary(), &[plugin], &[]);
    assert_eq!(catalog.kinds().len(), 0);
    let codes: Vec<&str> = told.iter().map(|told| told.code).collect();
    assert_eq!(codes, ["C0205"; 3]);
    for told in &told {
        let notes = told.notes.join("\n");
        assert!(notes.contains("built in"), "{notes}");
        assert!(notes.contains("libbuiltins_dylib.so"), "{notes}");
    }
}
