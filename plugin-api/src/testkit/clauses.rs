//! How each clause of the contract is tried.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{ClosedPort, Contract, DrippingPeer, SilentPeer, Subject, SubjectInstance};
use crate::sample::UNFIT;
use crate::{Cause, Descriptor, Problems, Sample, Status};

type Holds = Result<(), String>;

/// What a target gets in the clauses in which it does not answer.
const SHORT: Duration = Duration::from_millis(300);
/// How late an answer may be: after it the host calls a run overrun.
const GRACE: Duration = Duration::from_secs(1);

/// The keys of a check that the host reads itself.
const HOST_KEYS: [&str; 11] = [
    "kind",
    "interval",
    "fast_interval",
    "timeout",
    "fall",
    "ready_fall",
    "rise",
    "min_fail_span",
    "n_of_m",
    "freshness",
    "scope",
];

pub(super) fn without_peer(contract: &Contract, _: &dyn Subject) -> Option<&'static str> {
    let none = contract.peer.is_none();
    none.then_some("the suite was not told how the check is pointed at a peer")
}

pub(super) fn without_panic(contract: &Contract, _: &dyn Subject) -> Option<&'static str> {
    let none = contract.panics.is_none();
    none.then_some("the suite was not told with which options a run panics")
}

pub(super) fn without_units(_: &Contract, subject: &dyn Subject) -> Option<&'static str> {
    let of_unit = |property: &Value| UNITS.iter().any(|unit| has_format(property, unit));
    without(subject, of_unit).then_some("it has no option with a unit")
}

pub(super) fn without_secrets(_: &Contract, subject: &dyn Subject) -> Option<&'static str> {
    without(subject, |property| has_format(property, "secret")).then_some("it has no secret")
}

/// Whether a kind has no option of this sort.
fn without(subject: &dyn Subject, sort: impl Fn(&Value) -> bool) -> bool {
    let schema = subject.facts().options;
    let properties = schema.get("properties").and_then(Value::as_object);
    !properties
        .into_iter()
        .flatten()
        .any(|(_, property)| sort(property))
}

/// The forms of options that are written with a unit.
const UNITS: [&str; 3] = ["span", "size", "percent"];

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Holds {
    if holds { Ok(()) } else { Err(why()) }
}

pub(super) fn describes_itself(_: &Contract, subject: &dyn Subject) -> Holds {
    let facts = subject.facts();
    ensure(Descriptor::is_kind(&facts.kind), || {
        format!("`{}` is no name of a kind", facts.kind)
    })?;
    ensure(!facts.summary.trim().is_empty(), || {
        "it has no summary".to_owned()
    })?;
    ensure(!facts.summary.chars().any(char::is_control), || {
        "its summary is not a line".to_owned()
    })?;
    ensure(subject.facts() == facts, || {
        "it describes itself otherwise the second time".to_owned()
    })
}

fn properties(facts: &Value) -> Result<&Map<String, Value>, String> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match facts.get("properties") {
        None => Ok(&NONE),
        Some(Value::Object(properties)) => Ok(properties),
        Some(other) => Err(format!("`properties` of the schema is {other}")),
    }
}

pub(super) fn options(_: &Contract, subject: &dyn Subject) -> Holds {
    let schema = subject.facts().options;
    ensure(schema.get("type") == Some(&json!("object")), || {
        "the schema's `type` is not `object` (in Rust: make the options a struct)".to_owned()
    })?;
    ensure(
        schema.get("additionalProperties") == Some(&Value::Bool(false)),
        || {
            "unknown keys are allowed: the schema lacks `\"additionalProperties\": false` (in Rust: \
             `#[serde(deny_unknown_fields)]`)"
                .to_owned()
        },
    )?;
    for (key, property) in properties(&schema)? {
        let said = property
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        ensure(!said.trim().is_empty(), || {
            format!("option `{key}` has no `description` (in Rust: its doc comment)")
        })?;
    }
    Ok(())
}

pub(super) fn host_keys(_: &Contract, subject: &dyn Subject) -> Holds {
    let schema = subject.facts().options;
    let taken = properties(&schema)?
        .keys()
        .find(|key| HOST_KEYS.contains(&key.as_str()));
    taken.map_or(Ok(()), |key| Err(format!("`{key}` is a key of the host")))
}

pub(super) fn example(contract: &Contract, subject: &dyn Subject) -> Holds {
    let facts = subject.facts();
    ensure(!facts.example.trim().is_empty(), || {
        "it has no example".to_owned()
    })?;
    let table: Value = toml::from_str(&facts.example).map_err(|e| format!("no TOML: {e}"))?;
    let options = resolved(table, contract);
    configured(subject, &options).map(drop)
}

/// Does to an example what the host does to options: placeholders and secrets.
pub(super) fn resolved(value: Value, contract: &Contract) -> Value {
    let request = &contract.request;
    match value {
        Value::String(text) => {
            let number = |n: Option<u32>| n.unwrap_or(1).to_string();
            let text = text
                .replace("{group}", &request.group)
                .replace("{member}", request.member.as_deref().unwrap_or("member"))
                .replace("{index}", &number(request.index))
                .replace("{pid}", &number(request.pid))
                .replace("{port}", &number(request.port.map(u32::from)));
            Value::String(text)
        }
        Value::Array(list) => list
            .into_iter()
            .map(|value| resolved(value, contract))
            .collect(),
        Value::Object(map) if is_secret(&map) => Value::String("secret".to_owned()),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, resolved(value, contract)))
            .collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

fn is_secret(map: &Map<String, Value>) -> bool {
    map.len() == 1 && (map.contains_key("file") || map.contains_key("env"))
}

fn configured(subject: &dyn Subject, options: &Value) -> Result<Box<dyn SubjectInstance>, String> {
    subject
        .configure(&options.to_string())
        .map_err(|problems| format!("{options} is refused: {problems}"))
}

fn refused(subject: &dyn Subject, options: &Value) -> Result<Problems, String> {
    match subject.configure(&options.to_string()) {
        Ok(_) => Err(format!("{options} is accepted")),
        Err(problems) => Ok(problems),
    }
}

pub(super) fn accepts(contract: &Contract, subject: &dyn Subject) -> Holds {
    let first = configured(subject, &contract.options)?;
    let second = configured(subject, &contract.options)?;
    drop(first);
    drop(second);
    Ok(())
}

/// The valid options with other values for some keys.
fn with(contract: &Contract, changes: &[(&str, Value)]) -> Result<Value, String> {
    let mut options = contract.options.clone();
    let map = options.as_object_mut();
    let map = map.ok_or("the suite was given options that are no object")?;
    for (key, value) in changes {
        map.insert((*key).to_owned(), value.clone());
    }
    Ok(options)
}

pub(super) fn unknown(contract: &Contract, subject: &dyn Subject) -> Holds {
    let names = ["zz_unknown", "zz_other"];
    let options = with(contract, &names.map(|name| (name, json!(1))))?;
    let problems = refused(subject, &options)?;
    for name in names {
        ensure(
            problems.iter().any(|problem| problem.option == name),
            || format!("no problem is about `{name}`: {problems}"),
        )?;
    }
    Ok(())
}

pub(super) fn units(contract: &Contract, subject: &dyn Subject) -> Holds {
    let schema = subject.facts().options;
    for (key, property) in properties(&schema)? {
        if !UNITS.iter().any(|unit| has_format(property, unit)) {
            continue;
        }
        for bare in [json!(30), json!("30")] {
            let problems = refused(subject, &with(contract, &[(key, bare)])?)?;
            let told = problems
                .iter()
                .any(|p| p.option == *key && p.message.contains("write `\"30"));
            ensure(told, || {
                format!("nothing says what to write for `{key}`: {problems}")
            })?;
        }
    }
    Ok(())
}

/// Options that point at `address`, when the kind speaks to peers.
fn pointing(contract: &Contract, address: SocketAddr) -> Option<Value> {
    contract.peer.as_ref().map(|options| options(address))
}

fn trouble(error: &std::io::Error) -> String {
    format!("the suite cannot have a peer: {error}")
}

pub(super) fn pure(contract: &Contract, subject: &dyn Subject) -> Holds {
    let peer = SilentPeer::new().map_err(|e| trouble(&e))?;
    let Some(options) = pointing(contract, peer.address().map_err(|e| trouble(&e))?) else {
        return Ok(());
    };
    drop(configured(subject, &options)?);
    ensure(!peer.was_visited().map_err(|e| trouble(&e))?, || {
        "the peer had a visitor".to_owned()
    })
}

fn one(instance: &mut dyn SubjectInstance, contract: &Contract) -> Result<Sample, String> {
    run(instance, contract, contract.patience).map(|(sample, _)| sample)
}

fn run(
    instance: &mut dyn SubjectInstance,
    contract: &Contract,
    timeout: Duration,
) -> Result<(Sample, Duration), String> {
    let begin = Instant::now();
    let mut answers = instance.run(&contract.request, timeout);
    let took = begin.elapsed();
    match (answers.pop(), answers.len()) {
        (Some(sample), 0) => Ok((sample, took)),
        (None, _) => Err("a run was not answered".to_owned()),
        (Some(_), more) => Err(format!("a run was answered {} times", more + 1)),
    }
}

pub(super) fn once(contract: &Contract, subject: &dyn Subject) -> Holds {
    let mut instance = configured(subject, &contract.options)?;
    for _ in 0..3 {
        one(&mut *instance, contract)?;
    }
    Ok(())
}

pub(super) fn sound(contract: &Contract, subject: &dyn Subject) -> Holds {
    let mut instance = configured(subject, &contract.options)?;
    for _ in 0..2 {
        let sample = one(&mut *instance, contract)?;
        let itself = matches!(sample.cause, Some(Cause::Crashed | Cause::Overran));
        ensure(sample.status != Status::Unknown || !itself, || {
            format!("{}: {}", sample.status, sample.message)
        })?;
    }
    Ok(())
}

pub(super) fn samples(contract: &Contract, subject: &dyn Subject) -> Holds {
    let mut instance = configured(subject, &contract.options)?;
    for _ in 0..2 {
        usable(&one(&mut *instance, contract)?)?;
    }
    Ok(())
}

/// Whether a sample keeps the rules of samples.
fn usable(sample: &Sample) -> Holds {
    let shown = || format!("{} {:?} `{}`", sample.status, sample.cause, sample.message);
    let fits = match (sample.status, sample.cause) {
        (Status::Pass, cause) => cause.is_none(),
        (Status::Warn, Some(cause)) => {
            matches!(cause, Cause::Wrong | Cause::Stale | Cause::Timeout)
        }
        (Status::Fail, Some(cause)) => {
            matches!(
                cause,
                Cause::Timeout | Cause::Refused | Cause::Wrong | Cause::Stale
            )
        }
        (Status::Unknown, Some(cause)) => !matches!(
            cause,
            Cause::Timeout | Cause::Refused | Cause::Wrong | Cause::Stale
        ),
        (Status::Warn | Status::Fail | Status::Unknown, None) => false,
    };
    ensure(fits, || format!("status and cause do not fit: {}", shown()))?;
    ensure(
        sample.status == Status::Pass || !sample.message.trim().is_empty(),
        || format!("a sample says no word: {}", shown()),
    )?;
    ensure(!sample.message.chars().any(char::is_control), || {
        format!("a message is not a line: {}", shown())
    })?;
    let finite = |n: f64| n.is_finite();
    let numbers = sample.measurements.iter();
    let mut numbers = numbers.filter(|m| !finite(m.value) || !m.limit.is_none_or(finite));
    ensure(
        numbers.next().is_none() && !sample.message.contains(UNFIT),
        || format!("a measurement is no number, or has no name: {}", shown()),
    )
}

/// Whether a property is of a type of ours, also as an option of it.
fn has_format(property: &Value, format: &str) -> bool {
    let any = property.get("anyOf").and_then(Value::as_array);
    property.get("format").is_some_and(|found| found == format)
        || any
            .into_iter()
            .flatten()
            .any(|property| has_format(property, format))
}

pub(super) fn secrets(contract: &Contract, subject: &dyn Subject) -> Holds {
    const WORD: &str = "zz-not-to-be-told";
    let schema = subject.facts().options;
    for (key, _) in properties(&schema)?
        .iter()
        .filter(|(_, p)| has_format(p, "secret"))
    {
        let options = with(contract, &[(key, json!(WORD))])?;
        let told = match subject.configure(&options.to_string()) {
            Err(problems) => problems.to_string(),
            Ok(mut instance) => one(&mut *instance, contract)?.message,
        };
        ensure(!told.contains(WORD), || format!("`{key}` is told: {told}"))?;
    }
    Ok(())
}

pub(super) fn memory(contract: &Contract, subject: &dyn Subject) -> Holds {
    let mut first = configured(subject, &contract.options)?;
    let begin = one(&mut *first, contract)?;
    one(&mut *first, contract)?;
    let mut second = configured(subject, &contract.options)?;
    let again = one(&mut *second, contract)?;
    ensure(
        (begin.status, begin.cause) == (again.status, again.cause),
        || {
            let (a, b) = (begin.status, again.status);
            format!(
                "the first run of one instance says {a}, that of the next {b}: {}",
                again.message
            )
        },
    )
}

/// A run against a peer that gives no answer must be a Fail, and in time.
fn fails_in_time(
    contract: &Contract,
    subject: &dyn Subject,
    options: &Value,
) -> Result<Sample, String> {
    let mut instance = configured(subject, options)?;
    let (sample, took) = run(&mut *instance, contract, SHORT)?;
    ensure(sample.status == Status::Fail, || {
        format!(
            "the run says {} {:?}: {}",
            sample.status, sample.cause, sample.message
        )
    })?;
    ensure(took < SHORT + GRACE, || {
        format!("it took {took:?} with a timeout of {SHORT:?}")
    })?;
    usable(&sample)?;
    Ok(sample)
}

pub(super) fn silent(contract: &Contract, subject: &dyn Subject) -> Holds {
    let peer = SilentPeer::new().map_err(|e| trouble(&e))?;
    let Some(options) = pointing(contract, peer.address().map_err(|e| trouble(&e))?) else {
        return Ok(());
    };
    let sample = fails_in_time(contract, subject, &options)?;
    ensure(sample.cause == Some(Cause::Timeout), || {
        format!("the cause is {:?}: {}", sample.cause, sample.message)
    })
}

pub(super) fn dripping(contract: &Contract, subject: &dyn Subject) -> Holds {
    let peer = DrippingPeer::new().map_err(|e| trouble(&e))?;
    let Some(options) = pointing(contract, peer.address()) else {
        return Ok(());
    };
    fails_in_time(contract, subject, &options).map(drop)
}

pub(super) fn closed(contract: &Contract, subject: &dyn Subject) -> Holds {
    let port = ClosedPort::new().map_err(|e| trouble(&e))?;
    let Some(options) = pointing(contract, port.address()) else {
        return Ok(());
    };
    let sample = fails_in_time(contract, subject, &options)?;
    ensure(sample.cause == Some(Cause::Refused), || {
        format!("the cause is {:?}: {}", sample.cause, sample.message)
    })
}

pub(super) fn panics(contract: &Contract, subject: &dyn Subject) -> Holds {
    let Some(options) = &contract.panics else {
        return Ok(());
    };
    let mut instance = configured(subject, options)?;
    for _ in 0..2 {
        let sample = one(&mut *instance, contract)?;
        let (status, cause) = (sample.status, sample.cause);
        ensure(
            status == Status::Unknown && cause == Some(Cause::Crashed),
            || {
                format!(
                    "a run that panics says {status} {cause:?}: {}",
                    sample.message
                )
            },
        )?;
    }
    Ok(())
}
