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
