//! What it costs to read a configuration of 100,000 checks into a plan.

use checkd_core::CheckKind;
use checkd_core::config::{
    Document, KindFacts, Kinds, Node, Source, Table, UnknownKinds, Value, read,
};
use checkd_core::diagnostic::Place;
use checkd_core::plan::Scope;
use divan::Bencher;

fn main() {
    divan::main();
}

fn node(value: Value) -> Node {
    Node {
        place: Place::default(),
        value,
    }
}

fn text(text: &str) -> Node {
    node(Value::Text(text.to_owned()))
}

fn table<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    let entries = entries
        .into_iter()
        .map(|(name, node)| (name.to_owned(), Place::default(), node))
        .collect();
    node(Value::Table(Table { entries }))
}

/// `groups` groups of `each` checks, each with two options and two settings of its own.
fn document(groups: usize, each: usize) -> Document {
    let check = |n: usize| {
        table([
            ("kind", text("http")),
            ("url", text(&format!("http://127.0.0.1:{{port}}/{n}"))),
            ("interval", text("30s")),
            ("timeout", text("2500ms")),
        ])
    };
    let group = || {
        let names: Vec<String> = (0..each).map(|n| format!("check-{n}")).collect();
        let checks = names
            .iter()
            .enumerate()
            .map(|(n, name)| (name.as_str(), check(n)));
        table([
            (
                "command",
                node(Value::List(vec![text("server"), text("{port}")])),
            ),
            ("ports", table([("base", node(Value::Integer(8_000)))])),
            ("checks", table(checks)),
            (
                "health",
                table([("live", text("check-0 and (check-1 or not check-2)"))]),
            ),
        ])
    };
    let names: Vec<String> = (0..groups).map(|n| format!("group-{n}")).collect();
    let root = table([(
        "group",
        table(names.iter().map(|name| (name.as_str(), group()))),
    )]);
    let Value::Table(root) = root.value else {
        return Document::default();
    };
    let source = Source {
        name: "checkd.toml".to_owned(),
        text: String::new(),
    };
    Document {
        sources: vec![source],
        root,
    }
}

fn kinds() -> Kinds {
    let options = serde_json::json!({
        "type": "object",
        "properties": { "url": { "type": "string" } },
        "required": ["url"],
        "additionalProperties": false,
    });
    CheckKind::new("http")
        .map(|kind| {
            let origin = "built in".to_owned();
            let facts = KindFacts {
                kind: kind.clone(),
                scope: Scope::Process,
                passive: false,
                options,
                origin,
            };
            Kinds::from([(kind, facts)])
        })
        .unwrap_or_default()
}

/// Many groups, and one group of very many.
#[divan::bench(args = [(1_000, 100), (1, 100_000)], sample_count = 10)]
fn plan_of_100_000_checks(bencher: Bencher<'_, '_>, (groups, each): (usize, usize)) {
    let document = document(groups, each);
    let kinds = kinds();
    let (plan, told) = read(&document, &kinds, UnknownKinds::Refuse);
    let checks = plan.map_or(0, |plan| {
        plan.groups.iter().map(|g| g.checks.len()).sum::<usize>()
    });
    assert_eq!(checks, 100_000, "{:?}", told.first());
    bencher.bench_local(|| read(&document, &kinds, UnknownKinds::Refuse));
}

/// Every check has a mistake: telling them all must not cost more than it is worth.
#[divan::bench(sample_count = 10)]
fn mistakes_of_100_000_checks(bencher: Bencher<'_, '_>) {
    let document = document(1_000, 100);
    let kinds = Kinds::new();
    bencher.bench_local(|| read(&document, &kinds, UnknownKinds::Refuse));
}
