//! The options of a kind in C: their schema, and their values as the forms of the header say.

use std::collections::BTreeMap;

use checkd_core::diagnostic::nearest;
use checkd_plugin_api::schemars::{JsonSchema, SchemaGenerator};
use checkd_plugin_api::units::{Percent, Port, Size, Span};
use checkd_plugin_api::{Problems, Secret};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// One option that a kind declares.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) meaning: String,
    pub(super) form: Form,
    pub(super) required: bool,
    pub(super) default: Option<Value>,
}

/// What a person may write for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Integer,
    Number,
    Boolean,
    Span,
    Size,
    Percent,
    Port,
    Secret,
}

/// A value as the plugin reads it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    Text(String),
    Integer(i64),
    Number(f64),
}

/// The options of one instance.
#[derive(Debug, Default)]
pub(super) struct Typed(pub(super) BTreeMap<String, Read>);

/// What a plugin says is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Collected(pub(super) Problems);

impl Form {
    /// The form of a number of the header.
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Text,
            2 => Self::Integer,
            3 => Self::Number,
            4 => Self::Boolean,
            5 => Self::Span,
            6 => Self::Size,
            7 => Self::Percent,
            8 => Self::Port,
            9 => Self::Secret,
            _ => return None,
        })
    }

    /// What a person may write, as a check in Rust says it.
    fn schema(self) -> Value {
        let mut generator = SchemaGenerator::default();
        let mut of = |make: fn(&mut SchemaGenerator) -> checkd_plugin_api::schemars::Schema| {
            make(&mut generator).to_value()
        };
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Integer => json!({ "type": "integer" }),
            Self::Number => json!({ "type": "number" }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Span => of(Span::json_schema),
            Self::Size => of(Size::json_schema),
            Self::Percent => of(Percent::json_schema),
            Self::Port => of(Port::json_schema),
            Self::Secret => of(Secret::json_schema),
        }
    }

    /// A value that a person wrote, or what is wrong with it.
    fn read(self, value: &Value) -> Result<Read, String> {
        let whole = |number: u64| {
            let number = i64::try_from(number).map_err(|_| format!("`{number}` is too large"));
            number.map(Read::Integer)
        };
        match self {
            Self::Text => value
                .as_str()
                .map(|text| Read::Text(text.to_owned()))
                .ok_or_else(|| format!("must be a text, found `{value}`")),
            Self::Integer => value
                .as_i64()
                .map(Read::Integer)
                .ok_or_else(|| format!("must be a whole number, found `{value}`")),
            Self::Number => value
                .as_f64()
                .map(Read::Number)
                .ok_or_else(|| format!("must be a number, found `{value}`")),
            Self::Boolean => value
                .as_bool()
                .map(|yes| Read::Integer(i64::from(yes)))
                .ok_or_else(|| format!("must be `true` or `false`, found `{value}`")),
            Self::Span => typed::<Span>(value).and_then(|span| whole(span.as_millis())),
            Self::Size => typed::<Size>(value).and_then(|size| whole(size.as_bytes())),
            Self::Percent => typed::<Percent>(value).map(|share| Read::Number(share.as_percent())),
            Self::Port => typed::<Port>(value).and_then(|port| whole(port.get().into())),
            Self::Secret => {
                typed::<Secret>(value).map(|secret| Read::Text(secret.reveal().to_owned()))
            }
        }
    }

    /// A default as the plugin declares it: as a person writes it, without quotes.
    pub(super) fn default(self, text: &str) -> Result<Value, String> {
        let plain = match self {
            Self::Integer | Self::Number | Self::Boolean => {
                serde_json::from_str(text).map_err(|_| format!("`{text}` is none"))?
            }
            Self::Text | Self::Span | Self::Size | Self::Percent | Self::Port => {
                Value::String(text.to_owned())
            }
            Self::Secret => return Err("a secret has no default".into()),
        };
        self.read(&plain).map(|_| plain)
    }
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

/// JSON Schema of the options of a kind.
pub(super) fn schema(options: &[Declared]) -> Value {
    let mut properties = Map::new();
    for option in options {
        let mut property = option.form.schema();
        if let Some(property) = property.as_object_mut() {
            property.insert("description".into(), Value::String(option.meaning.clone()));
            if let Some(default) = &option.default {
                property.insert("default".into(), default.clone());
            }
        }
        properties.insert(option.name.clone(), property);
    }
    let required: Vec<&str> = options
        .iter()
        .filter(|option| option.required)
        .map(|option| &*option.name)
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The options that a person wrote, with defaults; or all that is wrong with them.
pub(super) fn read(declared: &[Declared], json: &str) -> Result<Typed, Problems> {
    let written: Map<String, Value> = serde_json::from_str(json)
        .map_err(|error| Problems::one("", format!("the options are no table: {error}")))?;
    let mut problems = Problems::none();
    for name in written.keys() {
        if !declared.iter().any(|option| option.name == *name) {
            unknown(declared, name, &mut problems);
        }
    }
    let mut values = BTreeMap::new();
    for option in declared {
        let value = match written.get(&option.name) {
            None | Some(Value::Null) if option.required => {
                problems.add(&*option.name, "is required");
                continue;
            }
            None | Some(Value::Null) => option.default.as_ref(),
            Some(value) => Some(value),
        };
        match value.map(|value| option.form.read(value)) {
            Some(Ok(value)) => drop(values.insert(option.name.clone(), value)),
            Some(Err(wrong)) => problems.add(&*option.name, wrong),
            None => {}
        }
    }
    problems.or(Typed(values))
}

fn unknown(declared: &[Declared], name: &str, problems: &mut Problems) {
    let known: Vec<String> = declared
        .iter()
        .map(|option| format!("`{}`", option.name))
        .collect();
    let message = if known.is_empty() {
        "unknown option; this kind has none".to_owned()
    } else {
        format!("unknown option; options: {}", known.join(", "))
    };
    match nearest(name, declared.iter().map(|option| &*option.name)) {
        Some(near) => problems.add_with_help(name, message, format!("did you mean `{near}`?")),
        None => problems.add(name, message),
    }
}
