//! The check kinds that are linked in. A crate that is never named is not linked, so its
//! registration would vanish: this is the one file that names them.

use check_http as _;
use check_memory as _;
use check_tcp as _;
use checkd_plugin_api::host::{Registration, registered};

/// Every kind that is linked in, sorted by name: the order of the registry is the linker's.
pub(crate) fn all() -> Vec<&'static Registration> {
    let mut all: Vec<_> = registered().collect();
    all.sort_by_key(|registration| registration.descriptor().kind);
    all
}
