//! The frozen, append-only types that cross the border between checkd and a loaded plugin.
//!
//! A plugin exports one symbol, an `abi_stable` library header whose root module is a [`Plugin`];
//! the host hands a [`Host`] to it. Only numbers, texts and these two tables of functions cross: what
//! has more to say is JSON, whose shapes are those of `checkd_plugin_api::host` (`PluginFacts`,
//! `Configured`, `Request`, `Sample`).
//!
//! # What may change
//!
//! Nothing that is here, ever: a field keeps its place, its type and its meaning. A new field goes at
//! the end of its table and raises the minor version of this crate; older plugins and older hosts do
//! not have it, so its accessor gives an `Option`. The `last_prefix_field` attribute never moves. The
//! name and the major version of this crate are part of the types' identity.
//!
//! # How a host calls it
//!
//! ## Loading
//!
//! 1. Open the library with `RTLD_NOW | RTLD_LOCAL` and never close it. `dlopen` runs its
//!    constructors, so whether it may be trusted was settled before.
//! 2. Get the symbol [`ROOT_SYMBOL`] as an [`AbiHeaderRef`], and `upgrade` it to a [`LibHeader`]. A
//!    library without the symbol is no checkd plugin; one that cannot be upgraded was built with
//!    another `abi_stable`. Do not use `RootModule::load_from_file`: it keeps one library per type,
//!    so that the second plugin would be the first one again.
//! 3. Hand the header to [`root`]. It compares the layouts both ways, because the comparison of
//!    `abi_stable` is one-sided: it takes a plugin that has more fields than the host, and refuses one
//!    that has fewer.
//!
//! ## Calling
//!
//! - Every function may be called from any thread, also at the same time. [`Plugin::configure`] and
//!   [`Plugin::release`] run an author's code on the calling thread; [`Plugin::submit`] and
//!   [`Plugin::cancel`] return at once.
//! - A text that is passed in is borrowed for the call; a text that is returned belongs to the caller
//!   and knows how to free itself.
//! - No function unwinds.
//! - `run` is a number of the host's choice; with the instance it names a run for
//!   [`Plugin::cancel`] and in [`Host::sink`].
//! - [`Host::sink`] is called once per submitted run, from any thread, also before
//!   [`Plugin::submit`] has returned, and also for a run that was cancelled or whose instance was
//!   released. It must not block, and it must not unwind.
//! - `user` comes back in every sink call; keep what it stands for alive until the last run has been
//!   answered.

#![expect(
    clippy::expl_impl_clone_on_copy,
    reason = "the derive writes it for the references to tables"
)]

mod load;
#[cfg(test)]
mod tests;

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::package_version_strings;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RStr, RString};

pub use abi_stable;
pub use abi_stable::library::{AbiHeaderRef, LibHeader};
pub use load::{Mismatch, root};

/// The version of this crate: what a plugin was built with, or what a host speaks.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The symbol that a plugin exports: an [`AbiHeaderRef`].
pub const ROOT_SYMBOL: &str = abi_stable::library::ROOT_MODULE_LOADER_NAME;

/// What a plugin offers to the host.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRef, prefix_fields = PluginPrefix)))]
pub struct Plugin {
    /// The [`VERSION`] of this crate that the plugin was built with.
    pub version: RStr<'static>,
    /// What the plugin says about itself: `PluginFacts` as JSON. Constant, without side effects.
    /// An empty text when the plugin broke while it said so.
    pub describe: extern "C" fn() -> RString,
    /// Makes an instance of a kind: `configure(kind, options, host, user)`. `options` is a JSON
    /// object whose placeholders and secrets are already replaced. Returns `Configured` as JSON: the
    /// number of the instance, unique in this process, or all that is wrong with the options.
    pub configure: extern "C" fn(RStr<'_>, RStr<'_>, HostRef, usize) -> RString,
    /// Begins a run: `submit(instance, run, request, timeout)`. `request` is `Request` as JSON;
    /// `timeout` is in milliseconds from now. One run at a time per instance: another one is
    /// answered Unknown(overran). An instance that does not exist has no sink, so nothing happens.
    pub submit: extern "C" fn(u64, u64, RStr<'_>, u64),
    /// Gives a run up: `cancel(instance, run)`. Unless it has been answered it is answered now,
    /// Unknown(overran); what it says later is thrown away.
    pub cancel: extern "C" fn(u64, u64),
    /// Forgets an instance; a run under way is cancelled first.
    pub release: extern "C" fn(u64),
    /// Forgets all instances and ends the plugin's threads, waiting for them at most so many
    /// milliseconds. After it, `configure` refuses.
    #[sabi(last_prefix_field)]
    pub shutdown: extern "C" fn(u64),
}

/// What the host offers to a plugin.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostRef, prefix_fields = HostPrefix)))]
pub struct Host {
    /// The [`VERSION`] of this crate that the host was built with.
    pub version: RStr<'static>,
    /// The answer of a run: `sink(user, instance, run, sample)`. `sample` is `Sample` as JSON.
    #[sabi(last_prefix_field)]
    pub sink: extern "C" fn(usize, u64, u64, RStr<'_>),
}

impl RootModule for PluginRef {
    abi_stable::declare_root_module_statics! {PluginRef}
    const BASE_NAME: &'static str = "checkd_plugin";
    const NAME: &'static str = "checkd plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
