//! The two lines that an author writes besides his check.

/// Puts a check into the registry: `register_check!(Tcp);`, and `register_check!(blocking Spool);`
/// for a [`BlockingCheck`](crate::BlockingCheck).
#[macro_export]
macro_rules! register_check {
    (blocking $check:ty) => {
        $crate::register_check!(@ blocking, $check);
    };
    ($check:ty) => {
        $crate::register_check!(@ of, $check);
    };
    (@ $how:ident, $check:ty) => {
        const _: () = {
            static SCHEMA: ::std::sync::OnceLock<$crate::serde_json::Value> =
                ::std::sync::OnceLock::new();
            $crate::inventory::submit! {
                $crate::host::Registration::$how::<$check>(
                    env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), &SCHEMA,
                )
            }
        };
    };
}

/// Makes a shared library a plugin: once, in a leaf crate of type `cdylib`, and nowhere else.
///
/// All checks that are registered in the crate and in what it links become the plugin's kinds. A
/// crate that is linked and never named vanishes: say `use my_checks as _;`.
///
/// ```toml
/// [lib]
/// crate-type = ["cdylib"]
/// ```
#[macro_export]
macro_rules! export_plugin {
    () => {
        #[cfg(panic = "abort")]
        compile_error!(
            "a plugin must not be built with `panic = \"abort\"`: a check that panics would end \
             the process that it runs in; remove it from the profile in Cargo.toml"
        );

        const _: () = {
            extern "C" fn root() -> $crate::sdk::RootModuleResult {
                $crate::sdk::root(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            }
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static HEADER: $crate::sdk::Header = $crate::sdk::header(root);
        };
    };
}
