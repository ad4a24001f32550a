//! What `export_plugin!` brings into a shared library: its door to the host, its runtime.
//!
//! Nothing of this is for an author; the macro names it, and checkd serves the C door with it.

mod answer;
mod door;
mod runtime;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use checkd_abi::abi_stable::library::{__call_root_module_loader, CheckTypeLayout, LibHeader};
use checkd_abi::abi_stable::prefix_type::PrefixTypeTrait;
use checkd_abi::abi_stable::std_types::{RStr, RString};
use checkd_abi::{HostRef, Plugin, PluginRef, VERSION};

pub use checkd_abi::abi_stable::library::{LibHeader as Header, RootModuleResult};

pub use self::answer::Sink;
pub use self::door::{Door, Maker};
use crate::host::{self, Configured, Instance, registered};
use crate::{Problems, panics};

/// The one door of this library. The functions of the ABI have no other way to it: they are called
/// with numbers and texts alone.
static DOOR: OnceLock<Exported> = OnceLock::new();

/// The registered checks of this library, and the package that exports them.
struct Exported {
    name: &'static str,
    version: &'static str,
    door: Door,
}

/// The header that a library exports. `root` is a function that returns what [`root`] returns.
#[must_use]
pub const fn header(root: extern "C" fn() -> RootModuleResult) -> Header {
    #[expect(
        unsafe_code,
        reason = "the type of the root module stands in no signature"
    )]
    // SAFETY: `export_plugin!` is the only caller, and its `root` returns a `PluginRef`.
    unsafe {
        LibHeader::from_constructor::<PluginRef>(root, CheckTypeLayout::Yes)
    }
}

/// The root module of a library that this package exports.
pub fn root(name: &'static str, version: &'static str) -> RootModuleResult {
    DOOR.get_or_init(|| Exported {
        name,
        version,
        door: Door::new(Arc::new(make)),
    });
    __call_root_module_loader(plugin)
}

fn plugin() -> PluginRef {
    let version = VERSION.into();
    Plugin {
        version,
        describe,
        configure,
        submit,
        cancel,
        release,
        shutdown,
    }
    .leak_into_prefix()
}

/// An instance of a registered kind.
fn make(kind: &str, options: &str) -> Result<Instance, Problems> {
    let mut found = registered().filter(|r| r.descriptor().kind == kind);
    match (found.next(), found.next()) {
        (Some(registration), None) => registration.configure(options),
        (None, _) => Err(Problems::one(
            "",
            format!("the plugin has no kind `{kind}`"),
        )),
        (Some(_), Some(_)) => {
            let message = format!("the plugin has kind `{kind}` twice");
            Err(Problems::one("", message))
        }
    }
}

/// Calls in; a panic that nobody caught further in ends here.
fn enter<T>(call: impl FnOnce(&Exported) -> T) -> Result<T, String> {
    let exported = DOOR
        .get()
        .ok_or_else(|| "the plugin was not opened".to_owned())?;
    catch_unwind(AssertUnwindSafe(|| call(exported)))
        .map_err(|payload| panics::message(&*payload).to_owned())
}

extern "C" fn describe() -> RString {
    let told = enter(|Exported { name, version, .. }| {
        serde_json::to_string(&host::describe(name, version)).unwrap_or_default()
    });
    told.unwrap_or_default().into()
}

extern "C" fn configure(kind: RStr<'_>, options: RStr<'_>, host: HostRef, user: usize) -> RString {
    let sink = Sink { host, user };
    let configured = enter(|exported| {
        exported
            .door
            .configure(kind.as_str(), options.as_str(), sink)
    })
    .unwrap_or_else(|message| {
        Configured::Problems(Problems::one("", format!("the plugin panicked: {message}")))
    });
    serde_json::to_string(&configured)
        .unwrap_or_default()
        .into()
}

extern "C" fn submit(instance: u64, run: u64, request: RStr<'_>, timeout: u64) {
    // A panic on the way drops the answer, which thereby answers.
    drop(enter(|exported| {
        exported
            .door
            .submit(instance, run, request.as_str(), timeout);
    }));
}

extern "C" fn cancel(instance: u64, run: u64) {
    drop(enter(|exported| exported.door.cancel(instance, run)));
}

extern "C" fn release(instance: u64) {
    drop(enter(|exported| exported.door.release(instance)));
}

extern "C" fn shutdown(timeout: u64) {
    drop(enter(|exported| exported.door.shutdown(timeout)));
}
