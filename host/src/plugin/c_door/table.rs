//! The structures of `plugin-api/include/checkd_plugin.h`, and how they are read: only as far as the
//! side that made them says that they go.

use std::ffi::c_void;
use std::mem::{MaybeUninit, size_of};

/// What stands for a text that is not there.
const MARK: &str = "\u{fffd}";

/// The longest text that is taken from a table or a sample in bytes.
const TEXT_MAX: usize = 1 << 20;

/// So much larger than ours a structure of a later version may be.
const SIZE_MAX: usize = 64 << 10;

/// A structure of the header. All of its fields may be zero.
///
/// # Safety
/// The type is `repr(C)`, and all bytes zero are a value of it.
#[expect(
    unsafe_code,
    reason = "what is promised cannot be seen by the compiler"
)]
pub(super) unsafe trait Table: Sized {
    /// Its name in the header.
    const NAME: &'static str;
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident as $header:literal { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(super) struct $name { $(pub(super) $field: $type,)* }
        #[expect(unsafe_code, reason = "numbers, addresses and functions that may be missing")]
        // SAFETY: numbers, addresses and `Option`s of functions may all be zero.
        unsafe impl Table for $name {
            const NAME: &'static str = $header;
        }
    )*};
}

tables! {
    /// A pointer and a length.
    Text as "checkd_text" {
        data: *const u8,
        length: usize,
    }
    /// One option of a kind.
    OptionTable as "checkd_option" {
        name: Text,
        meaning: Text,
        form: u32,
        required: u32,
        default: Text,
    }
    /// One number that a run measured.
    MeasurementTable as "checkd_measurement" {
        name: Text,
        value: f64,
        unit: Text,
        limit: f64,
    }
    /// The answer of one run.
    SampleTable as "checkd_sample" {
        size: usize,
        status: u32,
        cause: u32,
        message: Text,
        measurements: *const u8,
        measurement_count: usize,
        measurement_size: usize,
    }
    /// One kind of check.
    KindTable as "checkd_kind" {
        kind: Text,
        summary: Text,
        example: Text,
        options: *const u8,
        option_count: usize,
        option_size: usize,
        scope: u32,
        reserved: u32,
        user: *mut c_void,
        configure: Option<Configure>,
        run: Option<unsafe extern "C" fn(*mut c_void, *const Run)>,
        destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    }
    /// The plugin's own table.
    PluginTable as "checkd_plugin" {
        size: usize,
        header_major: u32,
        header_minor: u32,
        name: Text,
        version: Text,
        kinds: *const u8,
        kind_count: usize,
        kind_size: usize,
    }
}

/// Makes an instance: `configure(user, host, options, problems)`.
pub(super) type Configure = unsafe extern "C" fn(
    *mut c_void,
    *const Host,
    *const super::options::Typed,
    *mut super::options::Collected,
) -> *mut c_void;

/// What checkd offers to a plugin.
#[repr(C)]
pub(in crate::plugin) struct Host {
    pub(super) size: usize,
    pub(super) option_text: extern "C" fn(*const super::options::Typed, Text, *mut Text) -> i32,
    pub(super) option_integer: extern "C" fn(*const super::options::Typed, Text, *mut i64) -> i32,
    pub(super) option_number: extern "C" fn(*const super::options::Typed, Text, *mut f64) -> i32,
    pub(super) problem: extern "C" fn(*mut super::options::Collected, Text, Text),
    pub(super) log: extern "C" fn(Text),
}

/// One run, as checkd shows it to a plugin.
#[repr(C)]
pub(super) struct Run {
    pub(super) size: usize,
    pub(super) group: Text,
    pub(super) member: Text,
    pub(super) index: i64,
    pub(super) pid: i64,
    pub(super) port: i64,
    pub(super) timeout_ms: u64,
    pub(super) sink: extern "C" fn(*mut c_void, *const SampleTable),
    pub(super) user: *mut c_void,
}

/// What `checkd_plugin_entry_v1` is.
pub(in crate::plugin) type Entry = unsafe extern "C" fn(*const Host) -> *const u8;

/// Whether a structure of `size` bytes, as the plugin says, has all of version 1.0 and is believable.
pub(super) fn fits<T: Table>(size: usize) -> Result<(), String> {
    let (name, least) = (T::NAME, size_of::<T>());
    if (least..=SIZE_MAX).contains(&size) {
        return Ok(());
    }
    Err(format!(
        "its `{name}` has {size} bytes; {least} are needed, at most {SIZE_MAX} are believed"
    ))
}

/// A structure of which the plugin says that it has `size` bytes: what is beyond them is zero, what is
/// beyond ours is not looked at.
///
/// # Safety
/// At `at` there are `size` bytes that may be read.
#[expect(unsafe_code, reason = "reads what a plugin points to")]
pub(super) unsafe fn take<T: Table>(at: *const u8, size: usize) -> T {
    let mut taken = MaybeUninit::<T>::zeroed();
    // SAFETY: the caller's promise for the source; the destination is ours and large enough. All
    // zero is a value of `T`, and so is whatever a plugin compiled against the header has written.
    unsafe {
        std::ptr::copy_nonoverlapping(at, taken.as_mut_ptr().cast(), size.min(size_of::<T>()));
        taken.assume_init()
    }
}

/// A list whose elements have `size` bytes each, as the plugin says; at most `most` of them.
///
/// # Safety
/// At `at` there are `count` elements of `size` bytes that may be read.
#[expect(unsafe_code, reason = "reads what a plugin points to")]
pub(super) unsafe fn list<T: Table>(
    at: *const u8,
    count: usize,
    size: usize,
    most: usize,
) -> Result<Vec<T>, String> {
    let name = T::NAME;
    if count == 0 {
        return Ok(Vec::new());
    }
    if at.is_null() {
        return Err(format!("its list of {count} `{name}` is NULL"));
    }
    if count > most {
        return Err(format!("it has {count} of `{name}`, {most} are allowed"));
    }
    fits::<T>(size)?;
    let of = |index: usize| {
        // SAFETY: the caller's promise: the element lies within the list.
        unsafe { take(at.add(index * size), size) }
    };
    Ok((0..count).map(of).collect())
}

impl Text {
    /// Nothing.
    pub(super) const EMPTY: Self = Self {
        data: std::ptr::null(),
        length: 0,
    };

    /// A text of ours, for as long as it lives.
    pub(super) fn of(text: &str) -> Self {
        Self {
            data: text.as_ptr(),
            length: text.len(),
        }
    }

    /// A copy; what is no UTF-8, or not there, gets a mark in its place, and what is too long is cut.
    ///
    /// # Safety
    /// `data` is NULL, or there are `length` bytes that may be read.
    #[expect(unsafe_code, reason = "reads what a plugin points to")]
    pub(super) unsafe fn copy(self) -> String {
        if self.data.is_null() {
            let lacks = self.length > 0;
            return if lacks { MARK.into() } else { String::new() };
        }
        // SAFETY: the caller's promise, for a part of those bytes.
        let bytes = unsafe { std::slice::from_raw_parts(self.data, self.length.min(TEXT_MAX)) };
        String::from_utf8_lossy(bytes).into_owned()
    }
}
