//! Random configurations, as a person could have written them, read by the real reader.

use std::sync::Arc;

use checkd_core::CheckKind;
use checkd_core::config::{
    Document, KindFacts, Kinds, Node, Table, UnknownKinds, Value as Toml, read,
};
use checkd_core::diagnostic::Place;
use checkd_core::plan::{Plan, Scope};
use serde_json::{Value, json};

use super::chance::Chance;

const NAMES: [&str; 3] = ["base", "mid", "web"];
const LIVE: [&str; 9] = [
    "ping",
    "ping and memory",
    "ping and memory",
    "ping or memory",
    "at_least(2, ping, memory, disk)",
    "weighted(2, ping=2, memory=1, disk=1)",
    "ping or not spare",
    "when(spare, ping)",
    "ping and degrade(memory)",
];

/// A configuration: one to three groups that may need each other.
pub(crate) fn random(chance: &mut Chance) -> Value {
    let many = 1 + chance.below(3);
    let mut groups = serde_json::Map::new();
    for (index, name) in (0..many).zip(NAMES) {
        let mut one = group(chance);
        let needs: Vec<&str> = NAMES
            .into_iter()
            .zip(0..index)
            .map(|(name, _)| name)
            .filter(|_| chance.percent(40))
            .collect();
        if !needs.is_empty()
            && let Some(one) = one.as_object_mut()
        {
            one.insert("depends_on".to_owned(), json!(needs));
        }
        groups.insert(name.to_owned(), one);
    }
    json!({ "group": groups })
}

fn group(chance: &mut Chance) -> Value {
    let members = 1 + chance.below(6);
    let live = chance.one(&LIVE, "ping");
    let mut checks = serde_json::Map::new();
    let used = |name: &str| name == "ping" || name == "memory" || live.contains(name);
    for name in ["disk", "memory", "ping", "spare"]
        .into_iter()
        .filter(|it| used(it))
    {
        let mut check = json!({
            "kind": "test",
            "interval": chance.one(&["10s", "10s", "20s", "30s"], "10s"),
            "fall": 2 + chance.below(4),
            "rise": 1 + chance.below(3),
            "min_fail_span": chance.one(&["0s", "15s", "15s"], "15s"),
        });
        if let Some(check) = check.as_object_mut()
            && chance.percent(15)
        {
            check.insert("n_of_m".to_owned(), json!("6 of 10"));
        }
        checks.insert(name.to_owned(), check);
    }
    if chance.percent(40) {
        let check =
            json!({ "kind": "test", "scope": "dependency", "interval": "10s", "url": "db" });
        checks.insert("database".to_owned(), check);
    }
    let mut policy = json!({
        "max_out": 1 + chance.below(members.min(3)),
        "min_up": if chance.percent(15) { chance.below(members) } else { 0 },
        "hold_at": chance.one(&[2, 3, 3, 4, 100], 3),
        "canary_after": chance.one(&["20s", "60s", "60s"], "60s"),
        "settle": chance.one(&["0s", "30s", "60s"], "30s"),
        "startup_timeout": chance.one(&["90s", "120s"], "120s"),
        "confirm_up": chance.one(&["0s", "10s", "10s"], "10s"),
        "sick_restarts": chance.one(&["2 in 60m", "4 in 60m", "4 in 60m"], "4 in 60m"),
        "dead_starts": chance.one(&["3 in 10m", "10 in 10m"], "10 in 10m"),
        "backoff_reset": chance.one(&["2m", "10m"], "10m"),
    });
    if chance.percent(50)
        && let Some(policy) = policy.as_object_mut()
    {
        policy.insert("signal".to_owned(), json!("TERM"));
    }
    let strategy = chance.one(
        &["one_for_one", "one_for_all", "rest_for_one", "rolling"],
        "",
    );
    if strategy != "one_for_one"
        && let Some(policy) = policy.as_object_mut()
    {
        policy.insert("strategy".to_owned(), json!(strategy));
        policy.insert("allow_group_restart".to_owned(), json!(true));
    }
    json!({
        "command": ["server"],
        "processes": members,
        "mode": if chance.percent(10) { "observe" } else { "auto" },
        "restart": chance.one(&["permanent", "permanent", "permanent", "transient", "temporary"], "permanent"),
        "checks": checks,
        "health": {
            "live": live,
            "ready": chance.one(&["ping", "ping and memory"], "ping"),
            "ready_members": 1 + chance.below(members),
        },
        "policy": policy,
    })
}

/// The plan that `config` means; why not, when it means none.
pub(crate) fn plan(config: &Value) -> Result<Arc<Plan>, String> {
    let Toml::Table(root) = node(config).value else {
        return Err("not a table".to_owned());
    };
    let document = Document {
        sources: Vec::new(),
        root,
    };
    let (plan, told) = read(&document, &kinds(), UnknownKinds::Refuse);
    plan.map(Arc::new)
        .ok_or_else(|| format!("{:?}", told.first()))
}

fn node(json: &Value) -> Node {
    let value = match json {
        Value::Null => Toml::Bool(false),
        Value::Bool(yes) => Toml::Bool(*yes),
        Value::Number(number) => Toml::Integer(number.as_i64().unwrap_or(0)),
        Value::String(text) => Toml::Text(text.clone()),
        Value::Array(list) => Toml::List(list.iter().map(node).collect()),
        Value::Object(table) => {
            let entries = table
                .iter()
                .map(|(key, value)| (key.clone(), Place::default(), node(value)));
            Toml::Table(Table {
                entries: entries.collect(),
            })
        }
    };
    Node {
        place: Place::default(),
        value,
    }
}

fn kinds() -> Kinds {
    let facts = |kind: CheckKind| KindFacts {
        kind,
        scope: Scope::Process,
        passive: false,
        options: json!({ "properties": { "url": { "type": "string" } } }),
        origin: "a plugin".to_owned(),
    };
    let kind = CheckKind::new("test");
    kind.into_iter()
        .map(|kind| (kind.clone(), facts(kind)))
        .collect()
}
