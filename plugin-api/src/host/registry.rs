//! The registry: every check that is linked in, as data and as a function that makes one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BlockingCheck, Check, Context, Descriptor, Problems, Sample, Scope, options, panics};

/// One check that is linked in; made by [`register_check!`](crate::register_check).
pub struct Registration {
    descriptor: Descriptor,
    blocking: bool,
    package: &'static str,
    version: &'static str,
    make_schema: fn() -> Value,
    schema: &'static OnceLock<Value>,
    configure: fn(&str, &Value) -> Result<Instance, Problems>,
}

inventory::collect!(Registration);

/// A configured check without its type.
pub enum Instance {
    /// Its run is awaited.
    Async(Box<dyn AsyncInstance>),
    /// Its run holds a thread.
    Blocking(Box<dyn BlockingInstance>),
}

/// A [`Check`] without its type.
pub trait AsyncInstance: Send {
    /// One attempt, without a deadline and without protection: see [`run_async`](super::run_async).
    fn run<'a>(&'a mut self, cx: &'a Context) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>>;
}

/// A [`BlockingCheck`] without its type.
pub trait BlockingInstance: Send {
    /// One attempt, without a watchdog and without protection: see
    /// [`run_blocking`](super::run_blocking).
    fn run(&mut self, cx: &Context) -> Sample;
}

struct Erased<T>(T);

impl<T: Check> AsyncInstance for Erased<T> {
    fn run<'a>(&'a mut self, cx: &'a Context) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
        Box::pin(self.0.run(cx))
    }
}

impl<T: BlockingCheck> BlockingInstance for Erased<T> {
    fn run(&mut self, cx: &Context) -> Sample {
        self.0.run(cx)
    }
}

/// Whom a run is about; as JSON it is what crosses the border of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The group that the check belongs to.
    pub group: String,
    /// The member; none for scope `host` and `dependency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The member's index, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The member's process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The member's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The answer to `configure`; as JSON, `{"instance": 7}` or `{"problems": […]}`, it is what crosses
/// the border of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Configured {
    /// The number of the instance.
    Instance(u64),
    /// All that is wrong with the options.
    Problems(Problems),
}

/// What a plugin says about itself; as JSON it is what crosses its border.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginFacts {
    /// The package that exports it.
    pub name: String,
    /// That package's version.
    pub version: String,
    /// The version of this crate that it was built with.
    #[serde(default)]
    pub sdk: String,
    /// Its kinds, sorted by name.
    pub kinds: Vec<KindFacts>,
}

/// What a kind says about itself; as JSON it is what crosses the border of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindFacts {
    /// Its name in the configuration.
    pub kind: String,
    /// One line for a person.
    #[serde(default)]
    pub summary: String,
    /// How far one run speaks.
    #[serde(default)]
    pub scope: Scope,
    /// Whether its samples come unasked.
    #[serde(default)]
    pub passive: bool,
    /// Whether its run holds a thread.
    #[serde(default)]
    pub blocking: bool,
    /// JSON Schema of its options: an object.
    pub options: Value,
    /// The smallest honest configuration, as TOML.
    #[serde(default)]
    pub example: String,
    /// The package that holds it, with its version: `check-tcp 1.2.0`.
    #[serde(default)]
    pub package: String,
}

impl Registration {
    /// The registration of a [`Check`]; `schema` is where its schema is kept once it was made.
    #[must_use]
    pub const fn of<T: Check>(
        package: &'static str,
        version: &'static str,
        schema: &'static OnceLock<Value>,
    ) -> Self {
        Self {
            descriptor: T::DESCRIPTOR,
            blocking: false,
            package,
            version,
            make_schema: make_schema::<T::Options>,
            schema,
            configure: |json, schema| {
                let check = T::configure(options::read(json, schema)?)?;
                Ok(Instance::Async(Box::new(Erased(check))))
            },
        }
    }

    /// The registration of a [`BlockingCheck`]; `schema` as for [`of`](Self::of).
    #[must_use]
    pub const fn blocking<T: BlockingCheck>(
        package: &'static str,
        version: &'static str,
        schema: &'static OnceLock<Value>,
    ) -> Self {
        Self {
            descriptor: T::DESCRIPTOR,
            blocking: true,
            package,
            version,
            make_schema: make_schema::<T::Options>,
            schema,
            configure: |json, schema| {
                let check = T::configure(options::read(json, schema)?)?;
                Ok(Instance::Blocking(Box::new(Erased(check))))
            },
        }
    }

    /// What the kind says about itself.
    pub const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    /// Whether its run holds a thread.
    pub const fn is_blocking(&self) -> bool {
        self.blocking
    }
    /// The package that holds it.
    pub const fn package(&self) -> &'static str {
        self.package
    }
    /// The version of that package.
    pub const fn version(&self) -> &'static str {
        self.version
    }
    /// JSON Schema of its options.
    pub fn schema(&self) -> &Value {
        self.schema.get_or_init(self.make_schema)
    }
    /// All of the above as data.
    pub fn facts(&self) -> KindFacts {
        KindFacts {
            kind: self.descriptor.kind.to_owned(),
            summary: self.descriptor.summary.to_owned(),
            scope: self.descriptor.scope,
            passive: self.descriptor.passive,
            blocking: self.blocking,
            options: self.schema().clone(),
            example: self.descriptor.example.to_owned(),
            package: format!("{} {}", self.package, self.version),
        }
    }

    /// Makes an instance of options as JSON (an object, placeholders and secrets already replaced),
    /// or says all that is wrong with them. A panic of the author's code is such a problem.
    pub fn configure(&self, options: &str) -> Result<Instance, Problems> {
        catch_unwind(AssertUnwindSafe(|| {
            (self.configure)(options, self.schema())
        }))
        .unwrap_or_else(|payload| {
            let message = panics::message(&*payload);
            Err(Problems::one(
                "",
                format!("`configure` of the check panicked: {message}"),
            ))
        })
    }
}

/// A schema that is whole in itself: no references, no address of a meta schema.
fn make_schema<O: schemars::JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    settings
        .into_generator()
        .into_root_schema_for::<O>()
        .to_value()
}

/// Every check that is linked in, in chance order: sort, and refuse duplicates.
pub fn registered() -> impl Iterator<Item = &'static Registration> {
    inventory::iter::<Registration>.into_iter()
}

/// All that is linked in, as one plugin says it about itself.
pub fn describe(name: &str, version: &str) -> PluginFacts {
    let mut kinds: Vec<KindFacts> = registered().map(Registration::facts).collect();
    kinds.sort_by(|a, b| a.kind.cmp(&b.kind));
    PluginFacts {
        name: name.to_owned(),
        version: version.to_owned(),
        sdk: env!("CARGO_PKG_VERSION").to_owned(),
        kinds,
    }
}
