//! The layout is frozen: a change here is a new version of the contract.

mod layout;

use std::mem::size_of;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModuleResult};
use abi_stable::prefix_type::{PrefixTypeTrait, WithMetadata};
use abi_stable::std_types::{RStr, RString};

use crate::load::take;
use crate::{Host, HostRef, Mismatch, Plugin, PluginRef, ROOT_SYMBOL, VERSION, root};

#[test]
fn the_root_is_found_by_its_name_and_references_are_pointers() {
    assert_eq!(ROOT_SYMBOL, "_1as_0lib_1header_0root_bmodule_bloader");
    assert_eq!((size_of::<PluginRef>(), size_of::<HostRef>()), (8, 8));
}

extern "C" fn describe() -> RString {
    "{}".into()
}
extern "C" fn configure(_: RStr<'_>, _: RStr<'_>, _: HostRef, _: usize) -> RString {
    RString::new()
}
extern "C" fn submit(_: u64, _: u64, _: RStr<'_>, _: u64) {}
extern "C" fn cancel(_: u64, _: u64) {}
extern "C" fn one(_: u64) {}
extern "C" fn never() -> RootModuleResult {
    unreachable!("a header that was refused is not asked for its module")
}

fn plugin() -> PluginRef {
    let version = VERSION.into();
    Plugin {
        version,
        describe,
        configure,
        submit,
        cancel,
        release: one,
        shutdown: one,
    }
    .leak_into_prefix()
}

#[test]
fn a_plugin_of_this_version_is_taken() {
    let header = LibHeader::from_module(plugin());
    // What `AbiHeaderRef::upgrade` and the constructor of a real library do.
    let taken = root(&header).unwrap();
    assert_eq!(taken.version().as_str(), VERSION);
    assert_eq!((taken.describe())().as_str(), "{}");
}

/// The minor version that comes after this one: the same tables, and one function more.
#[expect(
    unsafe_code,
    unreachable_pub,
    dead_code,
    clippy::cast_ptr_alignment,
    clippy::trivially_copy_pass_by_ref,
    reason = "a public interface in a test, with accessors that the derive writes"
)]
mod later {
    use abi_stable::StableAbi;
    use abi_stable::library::RootModule;
    use abi_stable::sabi_types::VersionStrings;
    use abi_stable::std_types::{RStr, RString};

    use crate::HostRef;

    #[repr(C)]
    #[derive(StableAbi)]
    #[sabi(kind(Prefix(prefix_ref = PluginRef, prefix_fields = PluginPrefix)))]
    pub struct Plugin {
        pub version: RStr<'static>,
        pub describe: extern "C" fn() -> RString,
        pub configure: extern "C" fn(RStr<'_>, RStr<'_>, HostRef, usize) -> RString,
        pub submit: extern "C" fn(u64, u64, RStr<'_>, u64),
        pub cancel: extern "C" fn(u64, u64),
        pub release: extern "C" fn(u64),
        #[sabi(last_prefix_field)]
        pub shutdown: extern "C" fn(u64),
        pub pause: extern "C" fn(u64),
    }
    impl RootModule for PluginRef {
        abi_stable::declare_root_module_statics! {PluginRef}
        const BASE_NAME: &'static str = "checkd_plugin";
        const NAME: &'static str = "checkd plugin";
        const VERSION_STRINGS: VersionStrings = VersionStrings::new("1.1.0");
    }
}

#[test]
fn an_older_host_takes_a_later_plugin() {
    let (version, release) = ("1.1.0".into(), one);
    let table = later::Plugin {
        version,
        describe,
        configure,
        submit,
        cancel,
        release,
        shutdown: one,
        pause: one,
    };
    let header = LibHeader::from_module(table.leak_into_prefix());
    let taken = root(&header).unwrap();
    assert_eq!(taken.version().as_str(), "1.1.0");
    assert_eq!((taken.describe())().as_str(), "{}");
}

#[test]
fn a_later_host_takes_an_older_plugin_and_sees_what_it_lacks() {
    let header = LibHeader::from_module(plugin());
    // What the comparison of abi_stable alone would say.
    assert!(header.init_root_module::<later::PluginRef>().is_err());
    let taken = take::<later::PluginRef>(&header).unwrap();
    assert_eq!((taken.describe())().as_str(), "{}");
    assert!(taken.pause().is_none());
}

/// Libraries of others: the next major version, and one that broke its promise.
#[expect(
    unreachable_pub,
    dead_code,
    clippy::trivially_copy_pass_by_ref,
    reason = "a public interface in a test, with accessors that the derive writes"
)]
mod other {
    macro_rules! version {
        ($module:ident, $version:literal, { $($field:tt)* }) => {
            pub(super) mod $module {
                use abi_stable::StableAbi;
                use abi_stable::library::RootModule;
                use abi_stable::sabi_types::VersionStrings;
                use abi_stable::std_types::RStr;

                #[repr(C)]
                #[derive(StableAbi)]
                #[sabi(kind(Prefix(prefix_ref = TableRef, prefix_fields = TablePrefix)))]
                pub struct Table {
                    pub version: RStr<'static>,
                    $($field)*
                }
                impl RootModule for TableRef {
                    abi_stable::declare_root_module_statics! {TableRef}
                    const BASE_NAME: &'static str = "checkd_plugin";
                    const NAME: &'static str = "checkd plugin";
                    const VERSION_STRINGS: VersionStrings = VersionStrings::new($version);
                }
            }
        };
    }
    version!(of_2, "2.0.0", { #[sabi(last_prefix_field)] pub submit: extern "C" fn(u64), });
    version!(broken, "1.0.0", { #[sabi(last_prefix_field)] pub submit: extern "C" fn(u64), });
}

#[test]
fn another_major_version_is_refused_by_its_number() {
    #[expect(
        unsafe_code,
        reason = "a header as another version of this crate would make it"
    )]
    // SAFETY: the constructor makes nothing: it is not called.
    let header = unsafe {
        LibHeader::from_constructor::<other::of_2::TableRef>(never, CheckTypeLayout::Yes)
    };
    let refused = root(&header).map(|_| ()).unwrap_err();
    assert_eq!(
        refused,
        Mismatch::Version {
            plugin: "2.0.0".to_owned(),
            host: VERSION
        }
    );
    assert_eq!(
        refused.to_string(),
        "plugin was built with checkd-abi 2.0.0, this host speaks 1.0.0"
    );
}

#[test]
fn a_broken_promise_is_refused_in_one_line() {
    #[expect(
        unsafe_code,
        reason = "a header as a changed copy of this crate would make it"
    )]
    // SAFETY: the constructor makes nothing: it is not called.
    let header = unsafe {
        LibHeader::from_constructor::<other::broken::TableRef>(never, CheckTypeLayout::Yes)
    };
    let refused = root(&header).map(|_| ()).unwrap_err();
    assert!(matches!(&refused, Mismatch::Layout { details, .. } if details.len() > 100));
    assert_eq!(refused.to_string().lines().count(), 1, "{refused}");
}

#[test]
fn a_library_that_says_nothing_about_its_types_is_refused() {
    #[expect(unsafe_code, reason = "a header without a layout")]
    // SAFETY: the constructor makes nothing: it is not called.
    let header = unsafe { LibHeader::from_constructor::<PluginRef>(never, CheckTypeLayout::No) };
    assert!(matches!(root(&header), Err(Mismatch::Layout { .. })));
}

#[test]
fn the_host_s_table_can_be_a_constant() {
    extern "C" fn sink(_: usize, _: u64, _: u64, _: RStr<'_>) {}
    const TABLE: &WithMetadata<Host> = &WithMetadata::new(Host {
        version: RStr::from_str(VERSION),
        sink,
    });
    const HOST: HostRef = HostRef(TABLE.static_as_prefix());
    assert_eq!(HOST.version().as_str(), VERSION);
    check_layout_compatibility(
        <HostRef as StableAbi>::LAYOUT,
        <HostRef as StableAbi>::LAYOUT,
    )
    .unwrap();
}
