//! What every kind promises, clause by clause.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::{Subject, clauses, request};
use crate::host::Request;

/// One promise.
pub struct Clause {
    /// Its name, as a sentence about the check.
    pub name: &'static str,
    /// Why it says nothing about this kind, or with what the suite was told about it.
    pub(super) skip: fn(&Contract, &dyn Subject) -> Option<&'static str>,
    pub(super) holds: fn(&Contract, &dyn Subject) -> Result<(), String>,
}

/// What became of one clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kind keeps it.
    Held,
    /// It was not tried, and why.
    Skipped(&'static str),
    /// The kind breaks it: what was seen instead.
    Broken(String),
}

impl Clause {
    /// Tries the clause on a kind.
    pub fn judge(&self, contract: &Contract, subject: &dyn Subject) -> Outcome {
        if let Some(why) = (self.skip)(contract, subject) {
            return Outcome::Skipped(why);
        }
        match (self.holds)(contract, subject) {
            Ok(()) => Outcome::Held,
            Err(why) => Outcome::Broken(why),
        }
    }
}

/// For a clause about every kind.
fn never(_: &Contract, _: &dyn Subject) -> Option<&'static str> {
    None
}

/// What every kind promises, in the order of a check's life.
pub const CLAUSES: &[Clause] = &[
    Clause {
        name: "it describes itself",
        skip: never,
        holds: clauses::describes_itself,
    },
    Clause {
        name: "its options are an object with documented keys",
        skip: never,
        holds: clauses::options,
    },
    Clause {
        name: "it leaves the host's keys to the host",
        skip: never,
        holds: clauses::host_keys,
    },
    Clause {
        name: "its example parses and is accepted",
        skip: never,
        holds: clauses::example,
    },
    Clause {
        name: "valid options are accepted, also twice",
        skip: never,
        holds: clauses::accepts,
    },
    Clause {
        name: "unknown options are refused, all of them by name",
        skip: never,
        holds: clauses::unknown,
    },
    Clause {
        name: "a quantity without a unit is refused with what to write",
        skip: clauses::without_units,
        holds: clauses::units,
    },
    Clause {
        name: "configuring it connects to nobody",
        skip: clauses::without_peer,
        holds: clauses::pure,
    },
    Clause {
        name: "a run is answered once",
        skip: never,
        holds: clauses::once,
    },
    Clause {
        name: "with valid options a run neither breaks nor overruns",
        skip: never,
        holds: clauses::sound,
    },
    Clause {
        name: "samples say why, and their numbers are numbers",
        skip: never,
        holds: clauses::samples,
    },
    Clause {
        name: "a secret is repeated nowhere",
        skip: clauses::without_secrets,
        holds: clauses::secrets,
    },
    Clause {
        name: "instances share no memory",
        skip: never,
        holds: clauses::memory,
    },
    Clause {
        name: "a silent peer is a Fail by the deadline",
        skip: clauses::without_peer,
        holds: clauses::silent,
    },
    Clause {
        name: "a dripping peer is a Fail by the deadline",
        skip: clauses::without_peer,
        holds: clauses::dripping,
    },
    Clause {
        name: "a closed port is a Fail",
        skip: clauses::without_peer,
        holds: clauses::closed,
    },
    Clause {
        name: "a panic is Unknown(crashed), and the next run happens",
        skip: clauses::without_panic,
        holds: clauses::panics,
    },
];

/// A clause that a kind broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The name of the clause.
    pub clause: &'static str,
    /// What was seen instead.
    pub why: String,
}

/// The contract suite, with what it must be told about a kind.
///
/// ```no_run
/// # use checkd_plugin_api::testkit::{Contract, Linked, json};
/// # let linked = Linked::kind("tcp");
/// Contract::new(json!({ "port": 1 }))
///     .peer(|peer| json!({ "port": peer.port(), "expect": "PONG" }))
///     .hold(&linked);
/// ```
pub struct Contract {
    pub(super) options: Value,
    pub(super) request: Request,
    pub(super) peer: Option<Box<PeerOptions>>,
    pub(super) panics: Option<Value>,
    /// What a run may take where nothing is silent.
    pub(super) patience: Duration,
}

/// Makes options that point at an address.
type PeerOptions = dyn Fn(SocketAddr) -> Value;

/// What a run may take, unless an author says so.
const PATIENCE: Duration = Duration::from_secs(20);

impl Contract {
    /// `options`: valid options (a `json!` value, or its text), placeholders and secrets already replaced. Runs with them
    /// may end in any status.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads well with values, texts, references"
    )]
    pub fn new(options: impl ToString) -> Self {
        Self {
            options: value(&options),
            request: request(),
            peer: None,
            panics: None,
            patience: PATIENCE,
        }
    }
    /// The suite with the options of a kind's own example, which is TOML, done as the host does it:
    /// placeholders stand for [`request`](super::request)'s, secrets for a word.
    pub fn of_example(example: &str) -> Result<Self, String> {
        let table: Value = toml::from_str(example).map_err(|error| format!("no TOML: {error}"))?;
        let mut contract = Self::new(Value::Null);
        contract.options = clauses::resolved(table, &contract);
        Ok(contract)
    }
    /// The valid options.
    #[must_use]
    pub const fn options(&self) -> &Value {
        &self.options
    }
    /// What a run may take in the clauses in which nobody is silent; 20 seconds unless it is said.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
    /// For a kind that speaks to a peer over TCP: options that point at an address and want an
    /// answer from it. Without this, the clauses about peers do not apply.
    #[must_use]
    pub fn peer<O: ToString>(mut self, options: impl Fn(SocketAddr) -> O + 'static) -> Self {
        self.peer = Some(Box::new(move |address| value(&options(address))));
        self
    }
    /// For a kind that can be made to panic: options with which its run does. Without this, the
    /// clause about panics does not apply.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads well with values, texts, references"
    )]
    pub fn panics(mut self, options: impl ToString) -> Self {
        self.panics = Some(value(&options));
        self
    }
    /// Whom the runs are about; by default [`request`], this process.
    #[must_use]
    pub fn about(mut self, request: Request) -> Self {
        self.request = request;
        self
    }
    /// Each clause that `subject` breaks.
    pub fn broken(&self, subject: &dyn Subject) -> Vec<Broken> {
        let judge = |clause: &Clause| {
            let Outcome::Broken(why) = clause.judge(self, subject) else {
                return None;
            };
            Some(Broken {
                clause: clause.name,
                why,
            })
        };
        CLAUSES.iter().filter_map(judge).collect()
    }
    /// Holds `subject` to the contract.
    ///
    /// # Panics
    ///
    /// When a clause is broken: the message lists every one.
    #[expect(clippy::panic, reason = "this is how a test says no")]
    pub fn hold(&self, subject: &dyn Subject) {
        let broken = self.broken(subject);
        if !broken.is_empty() {
            let kind = subject.facts().kind;
            let list: Vec<String> = broken.iter().map(ToString::to_string).collect();
            let list = list.join("\n- ");
            panic!(
                "kind `{kind}` breaks {} of {} clauses:\n- {list}",
                broken.len(),
                CLAUSES.len()
            );
        }
    }
}

/// Options as a value; a text that is no JSON is one that no kind accepts.
fn value(options: &impl ToString) -> Value {
    let text = options.to_string();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.clause, self.why)
    }
}
