//! What every kind promises, clause by clause.

use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;

use super::{Subject, clauses, request};
use crate::host::Request;

/// One promise.
pub struct Clause {
    /// Its name, as a sentence about the check.
    pub name: &'static str,
    pub(super) holds: fn(&Contract, &dyn Subject) -> Result<(), String>,
}

/// What every kind promises, in the order of a check's life.
pub const CLAUSES: &[Clause] = &[
    Clause {
        name: "it describes itself",
        holds: clauses::describes_itself,
    },
    Clause {
        name: "its options are an object with documented keys",
        holds: clauses::options,
    },
    Clause {
        name: "it leaves the host's keys to the host",
        holds: clauses::host_keys,
    },
    Clause {
        name: "its example parses and is accepted",
        holds: clauses::example,
    },
    Clause {
        name: "valid options are accepted, also twice",
        holds: clauses::accepts,
    },
    Clause {
        name: "unknown options are refused, all of them by name",
        holds: clauses::unknown,
    },
    Clause {
        name: "a quantity without a unit is refused with what to write",
        holds: clauses::units,
    },
    Clause {
        name: "configuring it connects to nobody",
        holds: clauses::pure,
    },
    Clause {
        name: "a run is answered once",
        holds: clauses::once,
    },
    Clause {
        name: "samples say why, and their numbers are numbers",
        holds: clauses::samples,
    },
    Clause {
        name: "a secret is repeated nowhere",
        holds: clauses::secrets,
    },
    Clause {
        name: "instances share no memory",
        holds: clauses::memory,
    },
    Clause {
        name: "a silent peer is a Fail by the deadline",
        holds: clauses::silent,
    },
    Clause {
        name: "a dripping peer is a Fail by the deadline",
        holds: clauses::dripping,
    },
    Clause {
        name: "a closed port is a Fail",
        holds: clauses::closed,
    },
    Clause {
        name: "a panic is Unknown(crashed), and the next run happens",
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
}

/// Makes options that point at an address.
type PeerOptions = dyn Fn(SocketAddr) -> Value;

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
        }
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
            let why = (clause.holds)(self, subject).err()?;
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
