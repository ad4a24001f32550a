//! The C door: a library that exports `checkd_plugin_entry_v1`, served by the machinery that serves
//! plugins in Rust.
//!
//! The contract is `plugin-api/include/checkd_plugin.h`. What a plugin says in its tables is copied
//! and bounded here, once; a pointer that leads nowhere ends the worker, which is what workers are for.

mod options;
mod table;
#[cfg(test)]
mod tests;

use std::ffi::c_void;
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use checkd_plugin_api::host::{BlockingInstance, Instance};
use checkd_plugin_api::sdk::Door;
use checkd_plugin_api::{Cause, Context, Problems, Sample};

use self::options::{Collected, Declared, Form, Read, Typed};
pub(super) use self::table::Entry;
use self::table::{
    Host, KindTable, MeasurementTable, OptionTable, PluginTable, Run, SampleTable, Text, fits,
    list, take,
};
use super::loader::{Described, Fault, UNUSED};
use super::protocol::{KINDS_MAX, KindText, MEASUREMENTS_MAX, TEXT_MAX, bounded};

/// The symbol that a plugin exports.
pub(super) const SYMBOL: &str = "checkd_plugin_entry_v1";

/// The header, as people call it.
pub(super) const HEADER_NAME: &str = "checkd_plugin.h";

/// The version of the header that this host serves.
pub(super) const HEADER: (u32, u32) = (1, 0);

/// So many options of one kind are taken.
const OPTIONS_MAX: usize = 256;

/// A plugin in C, as it described itself when it was opened.
pub(super) struct Plugin {
    pub(super) described: Described,
    pub(super) built_with: String,
    pub(super) door: Door,
}

/// One kind of it.
struct Kind {
    name: String,
    options: Vec<Declared>,
    calls: Calls,
}

/// The functions of a kind, and what its `configure` gets back.
#[derive(Clone, Copy)]
struct Calls {
    user: *mut c_void,
    configure: table::Configure,
    run: unsafe extern "C" fn(*mut c_void, *const Run),
    destroy: unsafe extern "C" fn(*mut c_void),
}

#[expect(unsafe_code, reason = "the header makes it the plugin's promise")]
// SAFETY: the header says that functions are called from any thread, and `user` is only handed back.
unsafe impl Send for Calls {}
#[expect(unsafe_code, reason = "the header makes it the plugin's promise")]
// SAFETY: as above; `configure` alone gets `user`, and never from two threads at the same time.
unsafe impl Sync for Calls {}

/// What the host offers.
static HOST: Host = Host {
    size: size_of::<Host>(),
    option_text,
    option_integer,
    option_number,
    problem,
    log,
};

impl Plugin {
    /// Calls the entry of a library that is never closed, and reads its tables.
    ///
    /// # Safety
    /// `entry` is the function of that name in a library that was compiled against the header.
    #[expect(unsafe_code, reason = "calls a plugin and reads its tables")]
    pub(super) unsafe fn open(entry: Entry) -> Result<Self, Fault> {
        let unfit = |told: String| Fault::new("C0204", told).help(MEND);
        // SAFETY: the caller's promise; the host's table lives for ever.
        let at = unsafe { entry(&raw const HOST) };
        if at.is_null() {
            return Err(unfit(format!("its `{SYMBOL}` returned NULL"))
                .help("it says so that it cannot work here: ask its author why"));
        }
        // SAFETY: a table begins with its size, and has at least that many bytes.
        let size = unsafe { at.cast::<usize>().read_unaligned() };
        fits::<PluginTable>(size).map_err(|told| unfit(told).help(REBUILD))?;
        // SAFETY: the plugin says that there are so many bytes.
        let table: PluginTable = unsafe { take(at, size) };
        if table.header_major != HEADER.0 {
            let (major, minor) = (table.header_major, table.header_minor);
            return Err(other_major(&format!("{major}.{minor}")));
        }
        // SAFETY: the plugin's tables are static.
        let (kinds, name, version) = unsafe {
            let kinds =
                list::<KindTable>(table.kinds, table.kind_count, table.kind_size, KINDS_MAX);
            (kinds, table.name.copy(), table.version.copy())
        };
        let package = bounded(format!("{name} {version}").trim(), 128);
        let mut texts = Vec::new();
        let mut served = Vec::new();
        for table in kinds.map_err(unfit)? {
            // SAFETY: as above.
            let (text, kind) = unsafe { read(&table, &package) }.map_err(unfit)?;
            texts.push(text);
            served.push(kind);
        }
        let one_at_a_time = Mutex::new(());
        let make = move |kind: &str, options: &str| {
            let found = served.iter().find(|one| one.name == kind);
            let found = found
                .ok_or_else(|| Problems::one("", format!("the plugin has no kind `{kind}`")))?;
            let _turn = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
            found.configure(options)
        };
        Ok(Self {
            described: Described {
                name,
                version,
                sdk: String::new(),
                kinds: texts,
            },
            built_with: format!(
                "{HEADER_NAME} {}.{}",
                table.header_major, table.header_minor
            ),
            door: Door::new(Arc::new(make)),
        })
    }
}

const MEND: &str = "mend its table: `checkd_plugin.h` says what each field must be";

const REBUILD: &str = "rebuild the plugin with the `checkd_plugin.h` of checkd 1.x";

/// A plugin of a major version of the header that this host does not serve.
pub(super) fn other_major(version: &str) -> Fault {
    Fault::new(
        "C0203",
        format!("plugin was built with {HEADER_NAME} {version}"),
    )
    .note(format!("this host serves {}.x", HEADER.0))
    .note(UNUSED)
    .help(REBUILD)
}

/// One kind of a plugin.
///
/// # Safety
/// The table is that of a plugin, static and compiled against the header.
#[expect(unsafe_code, reason = "reads a plugin's tables")]
unsafe fn read(table: &KindTable, package: &str) -> Result<(KindText, Kind), String> {
    // SAFETY: the caller's promise.
    let (name, summary, example, options) = unsafe {
        let options = list::<OptionTable>(
            table.options,
            table.option_count,
            table.option_size,
            OPTIONS_MAX,
        );
        (
            table.kind.copy(),
            table.summary.copy(),
            table.example.copy(),
            options,
        )
    };
    let of = || format!("kind `{}`", bounded(&name, 80));
    let mut declared = Vec::new();
    for option in options.map_err(|told| format!("{}: {told}", of()))? {
        // SAFETY: the caller's promise.
        let (name, meaning, default) = unsafe {
            (
                option.name.copy(),
                option.meaning.copy(),
                option.default.copy(),
            )
        };
        let at = || format!("{}: option `{}`", of(), bounded(&name, 80));
        let form = Form::of(option.form)
            .ok_or_else(|| format!("{}: its form {} is none of 1.x", at(), option.form))?;
        let default = match &*default {
            "" => None,
            text => Some(
                form.default(text)
                    .map_err(|why| format!("{}: its default: {why}", at()))?,
            ),
        };
        declared.push(Declared {
            name,
            meaning,
            form,
            required: option.required != 0,
            default,
        });
    }
    let (Some(configure), Some(run), Some(destroy)) = (table.configure, table.run, table.destroy)
    else {
        return Err(format!("{}: one of its functions is NULL", of()));
    };
    let scope = match table.scope {
        0 => "process",
        1 => "host",
        2 => "dependency",
        other => return Err(format!("{}: its scope {other} is none", of())),
    };
    let text = KindText {
        kind: name.clone(),
        summary,
        scope: scope.into(),
        passive: false,
        blocking: true,
        options: options::schema(&declared),
        example,
        package: package.into(),
    };
    let calls = Calls {
        user: table.user,
        configure,
        run,
        destroy,
    };
    let options = declared;
    Ok((
        text,
        Kind {
            name,
            options,
            calls,
        },
    ))
}

impl Kind {
    /// Makes an instance, or says all that is wrong with the options.
    fn configure(&self, options: &str) -> Result<Instance, Problems> {
        let typed = options::read(&self.options, options)?;
        let mut collected = Collected::default();
        #[expect(unsafe_code, reason = "calls a plugin")]
        // SAFETY: the functions are those of the plugin's table; what they get lives until they
        // return, and one thread at a time is here.
        let made = unsafe {
            (self.calls.configure)(
                self.calls.user,
                &raw const HOST,
                &raw const typed,
                &raw mut collected,
            )
        };
        // Made only where there is one: dropping it is the plugin's `destroy`.
        let instance = (!made.is_null()).then(|| Checked {
            instance: made,
            calls: self.calls,
        });
        // An instance that comes with problems is dropped.
        let instance = collected.0.or(instance)?;
        let instance = instance.ok_or_else(|| {
            Problems::one("", "the plugin refuses the options and does not say why")
        })?;
        Ok(Instance::Blocking(Box::new(instance)))
    }
}

/// An instance of a plugin.
struct Checked {
    instance: *mut c_void,
    calls: Calls,
}

#[expect(unsafe_code, reason = "the header makes it the plugin's promise")]
// SAFETY: the header says that an instance is used from any thread, by one at a time.
unsafe impl Send for Checked {}

impl BlockingInstance for Checked {
    fn run(&mut self, cx: &Context) -> Sample {
        let mut answer = Answer::default();
        let number = |number: Option<u32>| number.map_or(-1, i64::from);
        let run = Run {
            size: size_of::<Run>(),
            group: Text::of(cx.group()),
            member: cx.member().map_or(Text::EMPTY, Text::of),
            index: number(cx.index()),
            pid: number(cx.pid()),
            port: number(cx.port().map(u32::from)),
            timeout_ms: u64::try_from(cx.remaining().as_millis()).unwrap_or(u64::MAX),
            sink,
            user: (&raw mut answer).cast(),
        };
        #[expect(unsafe_code, reason = "calls a plugin")]
        // SAFETY: the function is that of the plugin's table, the instance is one that it made and
        // that was not destroyed; what it gets lives until it returns.
        unsafe {
            (self.calls.run)(self.instance, &raw const run);
        }
        if answer.more > 0 {
            let told = answer.more;
            tracing::warn!(told, "plugin answered a run more than once; dropped");
        }
        answer.first.unwrap_or_else(|| {
            Sample::unknown(Cause::Crashed, "the run returned without an answer")
        })
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "calls a plugin")]
        // SAFETY: as above, once, and no run is left.
        unsafe {
            (self.calls.destroy)(self.instance);
        }
    }
}

/// What a run has said.
#[derive(Default)]
struct Answer {
    first: Option<Sample>,
    more: u32,
}

/// Takes the answer of a run.
extern "C" fn sink(user: *mut c_void, sample: *const SampleTable) {
    guarded((), || {
        #[expect(unsafe_code, reason = "a plugin hands our own pointer back")]
        // SAFETY: `user` is the address of the `Answer` of the run that calls, from its own thread.
        let Some(answer) = (unsafe { user.cast::<Answer>().as_mut() }) else {
            return;
        };
        if answer.first.is_some() {
            answer.more = answer.more.saturating_add(1);
            return;
        }
        #[expect(unsafe_code, reason = "reads what a plugin points to")]
        // SAFETY: the plugin's sample, which is there until this returns.
        let said = unsafe { said(sample.cast()) };
        answer.first = Some(said.unwrap_or_else(|why| Sample::unknown(Cause::Crashed, why)));
    });
}

/// A sample as the plugin says it, or what it says that none may say.
///
/// # Safety
/// `at` is NULL or points to a sample that begins with its size.
#[expect(unsafe_code, reason = "reads what a plugin points to")]
unsafe fn said(at: *const u8) -> Result<Sample, String> {
    if at.is_null() {
        return Err("its sample is NULL".into());
    }
    // SAFETY: the caller's promise, here and below.
    let (table, message, measurements) = unsafe {
        let size = at.cast::<usize>().read_unaligned();
        fits::<SampleTable>(size)?;
        let table: SampleTable = take(at, size);
        let measurements = list::<MeasurementTable>(
            table.measurements,
            table.measurement_count.min(MEASUREMENTS_MAX),
            table.measurement_size,
            MEASUREMENTS_MAX,
        )?;
        (table, table.message.copy(), measurements)
    };
    let cause = match table.cause {
        0 => None,
        1 => Some(Cause::Timeout),
        2 => Some(Cause::Refused),
        3 => Some(Cause::Wrong),
        4 => Some(Cause::Stale),
        5 => Some(Cause::NoPermission),
        6 => Some(Cause::Misconfigured),
        other => return Err(format!("its sample has cause {other}, which is none")),
    };
    let mut sample = match table.status {
        1 => Sample::pass(message),
        2 => Sample::warn(cause.unwrap_or(Cause::Wrong), message),
        3 => Sample::fail(cause.unwrap_or(Cause::Wrong), message),
        4 => Sample::unknown(cause.unwrap_or(Cause::Misconfigured), message),
        other => return Err(format!("its sample has status {other}, which is none")),
    };
    for one in measurements {
        // SAFETY: the caller's promise.
        let (name, unit) = unsafe { (one.name.copy(), one.unit.copy()) };
        sample = if one.limit.is_nan() {
            sample.measure(name, one.value, unit)
        } else {
            sample.measure_limit(name, one.value, unit, one.limit)
        };
    }
    Ok(sample)
}

/// Looks an option up, and writes its value to where the plugin wants it.
#[expect(unsafe_code, reason = "reads and writes what a plugin points to")]
fn option<T>(
    options: *const Typed,
    name: Text,
    to: *mut T,
    pick: impl FnOnce(&Read) -> Option<T>,
) -> i32 {
    guarded(0, || {
        // SAFETY: the plugin hands back the options that its `configure` got, which are there until it
        // returns, and points to where the value goes.
        unsafe {
            let Some(options) = options.as_ref() else {
                return 0;
            };
            match options.0.get(&name.copy()).and_then(pick) {
                Some(value) if !to.is_null() => {
                    to.write(value);
                    1
                }
                _ => 0,
            }
        }
    })
}

extern "C" fn option_text(options: *const Typed, name: Text, to: *mut Text) -> i32 {
    option(options, name, to, |read| match read {
        Read::Text(text) => Some(Text::of(text)),
        Read::Integer(_) | Read::Number(_) => None,
    })
}

extern "C" fn option_integer(options: *const Typed, name: Text, to: *mut i64) -> i32 {
    option(options, name, to, |read| match read {
        Read::Integer(number) => Some(*number),
        Read::Text(_) | Read::Number(_) => None,
    })
}

extern "C" fn option_number(options: *const Typed, name: Text, to: *mut f64) -> i32 {
    option(options, name, to, |read| match read {
        Read::Number(number) => Some(*number),
        Read::Text(_) | Read::Integer(_) => None,
    })
}

extern "C" fn problem(problems: *mut Collected, name: Text, message: Text) {
    guarded((), || {
        #[expect(unsafe_code, reason = "reads and writes what a plugin points to")]
        // SAFETY: the plugin hands back what its `configure` got; its texts are there until this
        // returns.
        unsafe {
            if let Some(problems) = problems.as_mut() {
                problems
                    .0
                    .add(name.copy(), bounded(&message.copy(), TEXT_MAX));
            }
        }
    });
}

extern "C" fn log(line: Text) {
    guarded((), || {
        #[expect(unsafe_code, reason = "reads what a plugin points to")]
        // SAFETY: the plugin's text is there until this returns.
        let line = unsafe { line.copy() };
        // A worker's own output goes to the host's log with the plugin's name.
        drop(std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("{}\n", bounded(&line, TEXT_MAX)).as_bytes(),
        ));
    });
}

/// A panic of ours must not unwind into the plugin.
fn guarded<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}
