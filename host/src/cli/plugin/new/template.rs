//! What a project is made of, in each language.

use std::path::Path;

/// One language.
pub(super) struct Template {
    /// As people call it.
    pub(super) language: &'static str,
    /// In the order in which they are read.
    pub(super) files: &'static [File],
    /// What to type next, from the directory in which the project was made.
    pub(super) next: &'static [&'static str],
}

/// One file of a project.
pub(super) struct File {
    /// In the project.
    pub(super) path: &'static str,
    text: &'static str,
    /// What it is, in a few words; empty: not worth a line.
    pub(super) says: &'static str,
    /// Whether it can be started.
    pub(super) program: bool,
    /// Whether it is taken as it is.
    verbatim: bool,
}

/// What is asked for.
pub(super) struct Project<'a> {
    pub(super) name: &'a str,
    /// Where the SDK is; `None`: the published one.
    pub(super) sdk: Option<&'a Path>,
}

/// The name of the check kind: a configuration has no need to tell `-` from `_`.
pub(super) fn kind_of(name: &str) -> String {
    name.replace('-', "_")
}

impl Project<'_> {
    /// The text of a file for this project.
    pub(super) fn fill(&self, file: &File) -> String {
        if file.verbatim {
            file.text.to_owned()
        } else {
            self.text(file.text)
        }
    }

    /// A text with the names of this project in it.
    pub(super) fn text(&self, text: &str) -> String {
        let kind = kind_of(self.name);
        text.replace("@NAME@", self.name)
            .replace("@TYPE@", &camel(self.name))
            .replace("@KIND@", &kind)
            .replace("@SDK@", &self.dependency(""))
            .replace(
                "@SDK_TESTKIT@",
                &self.dependency(", features = [\"testkit\"]"),
            )
    }

    /// The SDK as a dependency of Cargo.
    fn dependency(&self, more: &str) -> String {
        match self.sdk {
            // A TOML text is written as a JSON text is.
            Some(path) => {
                let path = serde_json::Value::from(path.to_string_lossy());
                format!("{{ path = {path}{more} }}")
            }
            None if more.is_empty() => "\"1\"".to_owned(),
            None => format!("{{ version = \"1\"{more} }}"),
        }
    }
}

/// `AcmeQueue` for `acme-queue`.
fn camel(name: &str) -> String {
    name.split(['-', '_'])
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

const fn file(path: &'static str, text: &'static str, says: &'static str) -> File {
    File {
        path,
        text,
        says,
        program: false,
        verbatim: false,
    }
}

const fn program(path: &'static str, text: &'static str, says: &'static str) -> File {
    File {
        program: true,
        ..file(path, text, says)
    }
}

const fn verbatim(path: &'static str, text: &'static str) -> File {
    File {
        verbatim: true,
        ..file(path, text, "")
    }
}

/// A template's file.
macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../templates/", $path))
    };
}

/// A file of the Python package, which a project brings along.
macro_rules! package {
    ($name:literal) => {
        verbatim(
            concat!("checkd/", $name),
            include_str!(concat!("../../../../../plugin-api/python/checkd/", $name)),
        )
    };
}

pub(super) static RUST: Template = Template {
    language: "Rust",
    files: &[
        file(
            "Cargo.toml",
            template!("rust/Cargo.toml.in"),
            "one dependency",
        ),
        file(
            "src/lib.rs",
            template!("rust/lib.rs.in"),
            "the check: begin here",
        ),
        file("src/tests.rs", template!("rust/tests.rs.in"), "its tests"),
        file("README.md", template!("rust/README.md.in"), "how to use it"),
        file(".gitignore", "/target\n", ""),
    ],
    next: &[
        "cd @NAME@",
        "cargo test",
        "cargo build",
        "checkd kinds @KIND@ --plugin target/debug/lib@KIND@.so",
    ],
};

pub(super) static C: Template = Template {
    language: "C",
    files: &[
        file(
            "check.c",
            template!("c/check.c.in"),
            "the check: begin here",
        ),
        program("test.sh", template!("c/test.sh.in"), "its tests"),
        file(
            "Makefile",
            template!("c/Makefile.in"),
            "builds and tests it",
        ),
        file("README.md", template!("c/README.md.in"), "how to use it"),
        file(".gitignore", "*.so\n", ""),
        File {
            says: "the border to checkd, brought along",
            ..verbatim(
                "checkd_plugin.h",
                include_str!("../../../../../plugin-api/include/checkd_plugin.h"),
            )
        },
    ],
    next: &[
        "cd @NAME@",
        "make test",
        "checkd kinds @KIND@ --plugin lib@KIND@.so",
    ],
};

pub(super) static PYTHON: Template = Template {
    language: "Python",
    files: &[
        program(
            "checks.py",
            template!("python/checks.py.in"),
            "the check: begin here",
        ),
        file(
            "test_checks.py",
            template!("python/test_checks.py.in"),
            "its tests",
        ),
        file(
            "README.md",
            template!("python/README.md.in"),
            "how to use it",
        ),
        file(".gitignore", "__pycache__/\n", ""),
        File {
            says: "the package `checkd`, brought along",
            ..package!("__init__.py")
        },
        package!("check.py"),
        package!("options.py"),
        package!("sample.py"),
        package!("silence.py"),
        package!("worker.py"),
        package!("test.py"),
        package!("py.typed"),
    ],
    next: &[
        "cd @NAME@",
        "python3 -m unittest",
        "python3 -m checkd.test checks.py",
        "checkd kinds @KIND@ --plugin checks.py",
    ],
};
