//! `checkd plugin new`: writes a project that builds, passes its own tests and loads at once.
//!
//! A language is a directory of `templates`, whose files are embedded; `@NAME@` and the like in them
//! stand for what is asked for. Adding one: its directory, a [`Template`], an argument.

mod template;

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkd_core::diagnostic::Diagnostic;

use crate::cli::paint::print;
use crate::cli::{FAILED, USAGE, tell};
use crate::manager::plain;
use crate::plugin::Catalog;
use template::Template;

/// The longest name in bytes: `lib`, `.so` and the like are put around it.
const NAME_MAX: usize = 48;

/// Where the sources of the SDK were when this program was built.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api");

/// Names that the tools of one language or another do not take.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "blocking",
    "box",
    "break",
    "build",
    "checkd",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "import",
    "in",
    "incremental",
    "json",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "os",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "sys",
    "test",
    "tests",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Arguments of `checkd plugin new`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the project, of its directory, and of its first check kind.
    name: OsString,
    /// Write it in Python [default: Rust].
    #[arg(long)]
    python: bool,
    /// Write it in C.
    #[arg(long, conflicts_with = "python")]
    c: bool,
    /// Where the sources of checkd-plugin-api are [default: where this checkd was built from, else
    /// the published crate].
    #[arg(long, value_name = "DIR", conflicts_with_all = ["python", "c"])]
    sdk: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn new(args: &Args) -> ExitCode {
    let template = if args.python {
        &template::PYTHON
    } else if args.c {
        &template::C
    } else {
        &template::RUST
    };
    let name = match name(&args.name) {
        Ok(name) => name,
        Err(told) => return refuse(&told, USAGE),
    };
    let sdk = match sdk(args.sdk.as_deref()) {
        Ok(sdk) => sdk,
        Err(told) => return refuse(&told, USAGE),
    };
    let project = template::Project {
        name: &name,
        sdk: sdk.as_deref(),
    };
    match write(Path::new(&name), template, &project) {
        Ok(()) => {
            print(&said(template, &project));
            ExitCode::SUCCESS
        }
        Err(told) => refuse(&told, FAILED),
    }
}

fn refuse(told: &Diagnostic, code: u8) -> ExitCode {
    tell::tell(told);
    ExitCode::from(code)
}

/// A name that every tool takes, and no kind of checkd itself.
fn name(typed: &OsStr) -> Result<String, Diagnostic> {
    let shown = crate::plugin::protocol::bounded(&typed.to_string_lossy(), 80);
    let refused = |why: &str, help: &str| {
        let told = format!("no plugin can be called `{shown}`");
        Diagnostic::error("C0215", told)
            .note(why)
            .note("nothing was written")
            .help(help)
    };
    let fits = |name: &&str| {
        name.len() <= NAME_MAX
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.ends_with(|last: char| last.is_ascii_alphanumeric())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    let Some(name) = typed.to_str().filter(fits) else {
        return Err(refused(
            &format!(
                "a name is lower-case letters, digits, `-` and `_`, begins with a letter and is at \
                 most {NAME_MAX} long"
            ),
            "for example `checkd plugin new acme-queue`",
        ));
    };
    let kind = template::kind_of(name);
    let (catalog, _) = Catalog::open(&[], &[]);
    if RESERVED.contains(&kind.as_str()) {
        return Err(refused(
            "a programming language or its tools have that name for themselves",
            &format!("for example `checkd plugin new my-{name}`"),
        ));
    }
    if catalog.kinds().keys().any(|taken| taken.as_str() == kind) {
        return Err(refused(
            &format!("checkd has a check kind `{kind}` of its own"),
            &format!("for example `checkd plugin new my-{name}`"),
        ));
    }
    Ok(name.to_owned())
}

/// The directory of the SDK, absolute; `None`: the published crate.
fn sdk(asked: Option<&Path>) -> Result<Option<PathBuf>, Diagnostic> {
    let is_it = |directory: &Path| {
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
        manifest.contains("name = \"checkd-plugin-api\"")
    };
    let Some(asked) = asked else {
        let built_from = Path::new(BUILT_FROM);
        return Ok(is_it(built_from)
            .then(|| fs::canonicalize(built_from).ok())
            .flatten());
    };
    match fs::canonicalize(asked) {
        Ok(directory) if is_it(&directory) => Ok(Some(directory)),
        _ => Err(
            Diagnostic::error("C0215", format!("`{}` is not the SDK", asked.display()))
                .note("there is no `Cargo.toml` of `checkd-plugin-api` in it")
                .note("nothing was written")
                .help("name the directory `plugin-api` of checkd's sources"),
        ),
    }
}

/// Writes every file into a directory that is not there yet.
fn write(
    directory: &Path,
    template: &Template,
    project: &template::Project<'_>,
) -> Result<(), Diagnostic> {
    let failed = |path: &Path, error: &io::Error| {
        let told = format!("cannot write `{}`", path.display());
        let told = Diagnostic::error("C0216", told);
        if error.kind() == io::ErrorKind::AlreadyExists {
            told.note("it is there already, and is left as it is")
                .help("choose another name, or move it away")
        } else {
            told.note(plain(error))
        }
    };
    // Only one that we make: nothing of somebody else's is written over.
    fs::create_dir(directory).map_err(|error| failed(directory, &error))?;
    for file in template.files {
        let path = directory.join(file.path);
        let parent = path.parent().unwrap_or(directory);
        fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        let mode = if file.program { 0o777 } else { 0o666 };
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path);
        opened
            .and_then(|mut opened| opened.write_all(project.fill(file).as_bytes()))
            .map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// What was written, and what to type next.
fn said(template: &Template, project: &template::Project<'_>) -> String {
    let name = project.name;
    let mut text = format!("{name}: a plugin in {}\n\n", template.language);
    let longest = template.files.iter().map(|file| file.path.len()).max();
    let width = longest.unwrap_or(0) + name.len() + 1;
    for file in template.files.iter().filter(|file| !file.says.is_empty()) {
        let path = format!("{name}/{}", file.path);
        text.push_str(&format!("  {path:width$}  {}\n", file.says));
    }
    text.push_str("\nnext\n");
    for line in template.next {
        text.push_str(&format!("  {}\n", project.text(line)));
    }
    text
}

#[cfg(test)]
mod tests;
