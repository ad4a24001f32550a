//! From a library's header to its root module: versions first, then layouts, both ways.

use std::fmt;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{LibHeader, LibraryError, RootModule};

use crate::{PluginRef, VERSION};

/// Why a library with a sound header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It was built with another major version of this crate.
    Version {
        /// What the plugin was built with.
        plugin: String,
        /// What this host speaks.
        host: &'static str,
    },
    /// The versions fit and the types do not: one of the two was not built from the published crate.
    Layout {
        /// What the plugin was built with.
        plugin: String,
        /// What this host speaks.
        host: &'static str,
        /// The whole comparison, which may be over a thousand lines.
        details: String,
    },
    /// The plugin could not make its table of functions.
    Init(String),
}

/// Takes the table of functions out of a library, when this host can use it: the same major version,
/// and a layout that has all fields of the host's, or of which the host's has all fields.
pub fn root(header: &LibHeader) -> Result<PluginRef, Mismatch> {
    take(header)
}

/// For any version of the table, so that the tests can be a later host.
pub(crate) fn take<M: RootModule>(header: &LibHeader) -> Result<M, Mismatch> {
    let strings = header.version_strings();
    let plugin: String = strings
        .version
        .chars()
        .filter(|c| !c.is_control())
        .take(32)
        .collect();
    // `abi_stable` takes a library that says nothing about its types at its word.
    let Some(layout) = header.layout() else {
        let details = "the library does not say what its types look like".to_owned();
        return Err(Mismatch::Layout {
            plugin,
            host: VERSION,
            details,
        });
    };
    match header.init_root_module::<M>() {
        Ok(root) => Ok(root),
        Err(LibraryError::AbiInstability(details)) => {
            let ours = <M as StableAbi>::LAYOUT;
            if check_layout_compatibility(layout, ours).is_err() {
                let details = details.to_string();
                return Err(Mismatch::Layout {
                    plugin,
                    host: VERSION,
                    details,
                });
            }
            #[expect(
                unsafe_code,
                reason = "a plugin older than the host; its layout was compared"
            )]
            // SAFETY: the plugin's layout is a prefix of ours, as the line above has found; the
            // accessors of the fields that it lacks give `None`.
            let root = unsafe { header.init_root_module_with_unchecked_layout::<M>() };
            root.map_err(|error| Mismatch::Init(error.to_string()))
        }
        Err(
            LibraryError::IncompatibleVersionNumber { .. } | LibraryError::ParseVersionError(_),
        ) => Err(Mismatch::Version {
            plugin,
            host: VERSION,
        }),
        Err(error) => Err(Mismatch::Init(error.to_string())),
    }
}

/// One line; the comparison of layouts stays in [`Mismatch::Layout`].
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { plugin, host } => {
                write!(
                    f,
                    "plugin was built with checkd-abi {plugin}, this host speaks {host}"
                )
            }
            Self::Layout { plugin, host, .. } => write!(
                f,
                "plugin says checkd-abi {plugin} and its types differ from those of {host}"
            ),
            Self::Init(error) => write!(f, "plugin could not begin: {error}"),
        }
    }
}

impl std::error::Error for Mismatch {}
