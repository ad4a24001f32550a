//! Holds a plugin to the contract of every check, through a worker: each clause on a worker of its
//! own, so that a plugin that hangs, crashes or lies ends only the clause in which it does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use checkd_core::Span;
use checkd_core::diagnostic::Diagnostic;
use checkd_core::plan::PluginSource;
use checkd_plugin_api::host::{KindFacts, Request};
use checkd_plugin_api::testkit::{CLAUSES, Contract, Outcome, Subject, SubjectInstance, request};
use checkd_plugin_api::{Problems, Sample};
use serde_json::{Map, Value};

use super::catalog::launch;
use super::client::millis;
use super::loader::reason;
use super::probe::Probe;
use super::process::Launch;
use super::program::file_name;
use super::protocol::{KindText, SampleText, TEXT_MAX, Target, bounded};
use super::{builtin, convert};

/// How long after its timeout a run's answer is still waited for, only to tell what it was: for the
/// host a run is over one second after it.
const GRACE: Duration = Duration::from_secs(5);
/// So many instances run at the same time in the clause about that.
const AT_ONCE: u64 = 8;

/// So many runs are made to see whether each leaves a process behind.
const RUNS: usize = 4;
/// What a run started, and what is to end by itself, may stay so long after it.
const STAYS: Duration = Duration::from_secs(5);

/// Hears of every clause when it begins, without an outcome, and when it was tried.
pub type Each<'a> = &'a mut dyn FnMut(&'static str, Option<Outcome>);

/// A plugin to be held to the contract.
#[derive(Debug)]
pub struct Verify {
    launch: Launch,
    origin: String,
    patience: Duration,
    /// What it calls itself, with its version; may be empty.
    pub package: String,
    /// What it says that it was built with; may be empty.
    pub built_with: String,
    /// What it offers, as it says.
    kinds: Vec<KindText>,
}

/// What the suite is told about a kind.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Valid options, as JSON; none: those of the kind's example.
    pub options: Option<Value>,
    /// Options as JSON text that want an answer from a peer at port `{port}` of this machine.
    pub peer: Option<String>,
    /// Options with which a run panics.
    pub panics: Option<Value>,
    /// What a run may take.
    pub timeout: Duration,
}

/// A promise of the whole plugin, whatever its kinds are.
struct Promise {
    name: &'static str,
    holds: fn(&Verify) -> Result<(), String>,
}

const PROMISES: &[Promise] = &[
    Promise {
        name: "every kind that it offers can be used",
        holds: Verify::kinds_are_usable,
    },
    Promise {
        name: "what it does not know is answered with an error, and it goes on",
        holds: Verify::nonsense_is_refused,
    },
    Promise {
        name: "it ends with its stream",
        holds: Verify::ends_with_its_stream,
    },
];

/// A clause that needs several runs at once.
type Holds = fn(&Bench, &Contract, Duration) -> Result<(), String>;

impl Verify {
    /// Starts the plugin and lets it describe itself. It may take `patience` for each answer that is
    /// due at once, and to end with its stream.
    ///
    /// # Errors
    /// It cannot be used at all.
    pub fn open(source: &PluginSource, patience: Duration) -> Result<Self, Diagnostic> {
        let (name, origin) = match source {
            PluginSource::Library(path) => (file_name(path.as_ref()), path.clone()),
            PluginSource::Command { words, .. } => ("plugin".into(), words.join(" ")),
        };
        let launch = launch(&name, source, &origin)?;
        let mut probe = Probe::open_within(&launch, &origin, patience)?;
        let kinds = probe.describe(&origin)?;
        let package = format!("{} {}", probe.plugin, probe.release)
            .trim()
            .to_owned();
        let built_with = std::mem::take(&mut probe.built_with);
        drop(probe);
        Ok(Self {
            launch,
            origin,
            patience,
            package,
            built_with,
            kinds,
        })
    }

    /// The names of the kinds that it offers, as it says.
    pub fn kinds(&self) -> impl Iterator<Item = String> {
        self.kinds.iter().map(|kind| bounded(&kind.kind, 80))
    }

    /// Tries what the whole plugin promises; `each` hears of every clause at once.
    pub fn whole(&self, each: Each<'_>) {
        for promise in PROMISES {
            each(promise.name, None);
            let outcome = match guarded(|| (promise.holds)(self)) {
                Ok(()) => Outcome::Held,
                Err(why) => Outcome::Broken(why),
            };
            each(promise.name, Some(outcome));
        }
    }

    /// Tries every clause on one kind; `each` hears of every clause at once.
    pub fn kind(&self, kind: &str, about: &About, each: Each<'_>) {
        let contract = self.contract(kind, about);
        for clause in CLAUSES {
            each(clause.name, None);
            let outcome = match &contract {
                Err(why) => Outcome::Broken(why.clone()),
                Ok(contract) => self.clause(kind, |bench| Ok(clause.judge(contract, bench))),
            };
            each(clause.name, Some(outcome));
        }
        let several: [(&'static str, Holds); 3] = [
            ("many instances run at the same time", Bench::many_at_once),
            ("a run that is given up is answered, once", Bench::given_up),
            ("no run leaves a process behind", Bench::leaves_nobody),
        ];
        for (name, holds) in several {
            each(name, None);
            let outcome = match &contract {
                Err(why) => Outcome::Broken(why.clone()),
                Ok(contract) => self.clause(kind, |bench| {
                    holds(bench, contract, about.timeout).map(|()| Outcome::Held)
                }),
            };
            each(name, Some(outcome));
        }
    }

    fn contract(&self, kind: &str, about: &About) -> Result<Contract, String> {
        let mut contract = if let Some(options) = &about.options {
            Contract::new(options)
        } else {
            let found = self.kinds.iter().find(|one| one.kind == kind);
            let example = found.map(|one| &*one.example).unwrap_or_default();
            let of_example = Contract::of_example(example);
            of_example.map_err(|why| format!("the options of its example: {why}"))?
        };
        contract = contract.patience(about.timeout);
        if let Some(peer) = about.peer.clone() {
            contract =
                contract.peer(move |address| peer.replace("{port}", &address.port().to_string()));
        }
        if let Some(panics) = &about.panics {
            contract = contract.panics(panics);
        }
        Ok(contract)
    }

    /// One clause about one kind, on a worker of its own.
    fn clause(&self, kind: &str, judge: impl FnOnce(&Bench) -> Result<Outcome, String>) -> Outcome {
        let judged = guarded(|| {
            let bench = Bench::open(self, kind)?;
            let outcome = judge(&bench)?;
            // What the worker did on the way says more than what the clause made of it.
            match bench.shared.fault.take() {
                Some(fault) => Err(fault),
                None => Ok(outcome),
            }
        });
        judged.unwrap_or_else(Outcome::Broken)
    }

    fn worker(&self) -> Result<Probe, String> {
        Probe::open_within(&self.launch, &self.origin, self.patience).map_err(|told| reason(&told))
    }

    fn kinds_are_usable(&self) -> Result<(), String> {
        if self.kinds.is_empty() {
            return Err("it offers no kind".into());
        }
        let mut seen = BTreeSet::new();
        for text in &self.kinds {
            convert::facts(text, &self.origin)?;
            if builtin::all()
                .iter()
                .any(|one| one.descriptor().kind == text.kind)
            {
                let kind = &text.kind;
                return Err(format!(
                    "checkd itself offers kind `{kind}`: give it its own name, such as `my_{kind}`"
                ));
            }
            if !seen.insert(&*text.kind) {
                return Err(format!("it offers kind `{}` twice", text.kind));
            }
        }
        Ok(())
    }

    fn nonsense_is_refused(&self) -> Result<(), String> {
        let mut probe = self.worker()?;
        probe.say_nonsense()?;
        let kinds = probe.describe(&self.origin);
        kinds.map(drop).map_err(|told| reason(&told))
    }

    fn ends_with_its_stream(&self) -> Result<(), String> {
        let mut probe = self.worker()?;
        probe.describe(&self.origin).map_err(|told| reason(&told))?;
        if probe.leave(self.patience) {
            return Ok(());
        }
        Err(format!(
            "it was still there {} after its stream had ended",
            Span(millis(self.patience))
        ))
    }
}

/// A panic of the suite itself is told like a fault of the plugin, for a plugin led to it.
fn guarded<T>(judge: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(judge))
        .unwrap_or_else(|_| Err("the suite itself broke on what the plugin says".into()))
}

/// A kind on a worker of its own.
struct Bench {
    kind: String,
    origin: String,
    shared: Rc<Shared>,
}

struct Shared {
    probe: RefCell<Probe>,
    /// The first thing that the worker did wrong.
    fault: Cell<Option<String>>,
}

impl Shared {
    /// Notes what the worker did wrong, unless something was wrong before.
    fn note<T>(&self, said: Result<T, String>) -> Option<T> {
        match said {
            Ok(said) => Some(said),
            Err(fault) => {
                let first = self.fault.take().unwrap_or(fault);
                self.fault.set(Some(first));
                None
            }
        }
    }
}

struct Instance {
    shared: Rc<Shared>,
    number: u64,
}

impl Bench {
    fn open(verify: &Verify, kind: &str) -> Result<Self, String> {
        Ok(Self {
            kind: kind.into(),
            origin: verify.origin.clone(),
            shared: Rc::new(Shared {
                probe: RefCell::new(verify.worker()?),
                fault: Cell::new(None),
            }),
        })
    }

    /// What the worker says about the kind now.
    fn describe(&self) -> Result<KindFacts, String> {
        let kinds = self.shared.probe.borrow_mut().describe(&self.origin);
        let kinds = kinds.map_err(|told| reason(&told))?;
        let found = kinds.into_iter().find(|one| one.kind == self.kind);
        let text = found.ok_or("it does not offer the kind any more")?;
        facts(&text)
    }

    fn make(&self, options: &str) -> Result<Result<u64, Problems>, String> {
        let options: Map<String, Value> = match serde_json::from_str(options) {
            Ok(options) => options,
            Err(error) => return Ok(Err(Problems::one("", error.to_string()))),
        };
        let made = self
            .shared
            .probe
            .borrow_mut()
            .make(&self.kind, &options, &target());
        let (number, problems) = made?;
        if problems.is_empty() {
            return Ok(Ok(number));
        }
        let mut told = Problems::none();
        for problem in problems {
            let option = problem.option.unwrap_or_default();
            match problem.help {
                Some(help) => told.add_with_help(option, problem.message, help),
                None => told.add(option, problem.message),
            }
        }
        Ok(Err(told))
    }

    fn instance(&self, contract: &Contract) -> Result<u64, String> {
        let made = self.make(&contract.options().to_string())?;
        made.map_err(|problems| format!("{} is refused: {problems}", contract.options()))
    }

    fn many_at_once(&self, contract: &Contract, timeout: Duration) -> Result<(), String> {
        let made: Result<Vec<u64>, String> =
            (0..AT_ONCE).map(|_| self.instance(contract)).collect();
        let mut probe = self.shared.probe.borrow_mut();
        let mut waiting = BTreeSet::new();
        for instance in made? {
            waiting.insert(probe.submit(instance, timeout)?);
        }
        while !waiting.is_empty() {
            let (run, _) = probe.sample(timeout + GRACE)?;
            if !waiting.remove(&run) {
                return Err(format!(
                    "it answered run {run}, which was over or never begun"
                ));
            }
        }
        nothing_more(&mut probe)
    }

    fn given_up(&self, contract: &Contract, timeout: Duration) -> Result<(), String> {
        let instance = self.instance(contract)?;
        let mut probe = self.shared.probe.borrow_mut();
        let begun = probe.submit(instance, timeout)?;
        probe.cancel(begun)?;
        let (run, _) = probe.sample(GRACE.max(timeout))?;
        if run != begun {
            return Err(format!(
                "run {begun} was given up, and it answered run {run}"
            ));
        }
        nothing_more(&mut probe)
    }

    /// Whether each run leaves a process behind, wherever below the worker.
    fn leaves_nobody(&self, contract: &Contract, timeout: Duration) -> Result<(), String> {
        let instance = self.instance(contract)?;
        let mut probe = self.shared.probe.borrow_mut();
        let run = |probe: &mut Probe| -> Result<(), String> {
            probe.submit(instance, timeout)?;
            probe.sample(timeout + GRACE).map(drop)
        };
        // What the first one starts may be kept for all.
        run(&mut probe)?;
        let first = probe.below();
        for _ in 1..RUNS {
            run(&mut probe)?;
        }
        let until = Instant::now() + STAYS;
        // One that is on its way out is none.
        while probe.below() >= first + (RUNS - 1) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let more = probe.below().saturating_sub(first);
        if more < RUNS - 1 {
            return Ok(());
        }
        Err(format!(
            "after {} more runs {more} more processes were below its worker, {} s later too",
            RUNS - 1,
            STAYS.as_secs()
        ))
    }
}

fn nothing_more(probe: &mut Probe) -> Result<(), String> {
    match probe.unasked()?.first() {
        None => Ok(()),
        Some((run, _)) => Err(format!("it answered run {run} once more")),
    }
}

impl Subject for Bench {
    fn facts(&self) -> KindFacts {
        self.shared.note(self.describe()).unwrap_or_else(nothing)
    }

    fn configure(&self, options: &str) -> Result<Box<dyn SubjectInstance>, Problems> {
        match self.shared.note(self.make(options)) {
            Some(Ok(number)) => Ok(Box::new(Instance {
                shared: Rc::clone(&self.shared),
                number,
            })),
            Some(Err(problems)) => Err(problems),
            None => Err(Problems::one("", "its worker is gone")),
        }
    }
}

impl SubjectInstance for Instance {
    fn run(&mut self, _: &Request, timeout: Duration) -> Vec<Sample> {
        let answers = self.answers(timeout);
        self.shared.note(answers).unwrap_or_default()
    }
}

impl Instance {
    fn answers(&self, timeout: Duration) -> Result<Vec<Sample>, String> {
        let mut probe = self.shared.probe.borrow_mut();
        let begun = probe.submit(self.number, timeout)?;
        let first = probe.sample(timeout + GRACE)?;
        let mut answers = Vec::new();
        for (run, text) in std::iter::once(first).chain(probe.unasked()?) {
            if run != begun {
                return Err(format!("run {begun} was asked, and it answered run {run}"));
            }
            answers.push(sample(text)?);
        }
        Ok(answers)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let forgot = self.shared.probe.borrow_mut().forget(self.number);
        self.shared.note(forgot);
    }
}

/// A sample in the words of the suite, or what it says that no sample may say.
fn sample(text: SampleText) -> Result<Sample, String> {
    let said = bounded(&text.message, TEXT_MAX);
    serde_json::to_value(text)
        .and_then(serde_json::from_value)
        .map_err(|error| format!("its sample `{said}` cannot be read: {error}"))
}

fn facts(text: &KindText) -> Result<KindFacts, String> {
    let mut facts = serde_json::to_value(text).unwrap_or_default();
    // What a worker may leave out.
    if let Some(facts) = facts.as_object_mut() {
        if text.scope.is_empty() {
            facts.remove("scope");
        }
        if text.options.is_null() {
            let none = serde_json::json!({ "type": "object", "properties": {} });
            facts.insert("options".into(), none);
        }
    }
    serde_json::from_value(facts).map_err(|error| format!("its description: {error}"))
}

/// What stands for a description that did not come; the fault is told in its place.
fn nothing() -> KindFacts {
    KindFacts {
        kind: String::new(),
        summary: String::new(),
        scope: checkd_plugin_api::Scope::Process,
        passive: false,
        blocking: false,
        options: Value::Null,
        example: String::new(),
        package: String::new(),
    }
}

/// Whom the suite's runs are about.
fn target() -> Target {
    let request = serde_json::to_value(request()).unwrap_or_default();
    // Both sides say the same words; otherwise it is about nobody.
    serde_json::from_value(request).unwrap_or_default()
}
