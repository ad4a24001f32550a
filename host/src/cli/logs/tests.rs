//! The last lines over several files, and nothing lost or told twice over rotations.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use checkd_core::config::Document;

use super::output::Output;
use super::{file_of, known, unknown};
use crate::cli::find::Home;

#[test]
fn the_last_lines_are_those_of_all_files_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web-1.log");
    fs::write(dir.path().join("web-1.log.2"), "1\n2\n").unwrap();
    fs::write(dir.path().join("web-1.log.1"), "3\n4\n").unwrap();
    fs::write(&path, "5\n6").unwrap();
    let output = Output::at(path);
    for (lines, shown) in [
        (None, "1\n2\n3\n4\n5\n6"),
        (Some(0), ""),
        (Some(1), "6"),
        (Some(2), "5\n6"),
        (Some(3), "4\n5\n6"),
        (Some(4), "3\n4\n5\n6"),
        (Some(5), "2\n3\n4\n5\n6"),
        (Some(99), "1\n2\n3\n4\n5\n6"),
    ] {
        let mut sink = Vec::new();
        output.show(lines, false, &mut sink).unwrap();
        assert_eq!(String::from_utf8(sink).unwrap(), shown, "{lines:?}");
    }
}

#[test]
fn lines_longer_than_a_reading_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web-1.log");
    let long = "x".repeat(200_000);
    fs::write(&path, format!("{long}\n{long}\nend\n")).unwrap();
    let mut sink = Vec::new();
    Output::at(path).show(Some(2), false, &mut sink).unwrap();
    assert_eq!(String::from_utf8(sink).unwrap(), format!("{long}\nend\n"));
}

/// Takes lines until the one that ends it, and tells how many it has.
struct Until {
    taken: Vec<u8>,
    lines: Arc<AtomicUsize>,
    end: &'static [u8],
}

impl Write for Until {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.taken.extend_from_slice(bytes);
        let lines = bytes.split(|&b| b == b'\n').count() - 1;
        self.lines.fetch_add(lines, Ordering::SeqCst);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.taken.ends_with(self.end) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

#[test]
fn a_follower_loses_and_repeats_nothing_over_rotations() {
    const LINES: usize = 700;
    const LINES_A_FILE: usize = 7;
    const KEPT: u32 = 10;
    let dir = tempfile::tempdir().unwrap();
    // Neither the file nor its directory are there when it begins.
    let path = dir.path().join("web/web-1.log");
    let read = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (path, read) = (path.clone(), Arc::clone(&read));
        std::thread::spawn(move || {
            fs::create_dir(path.parent().unwrap()).unwrap();
            let old = |n: u32| PathBuf::from(format!("{}.{n}", path.display()));
            let mut file: Option<File> = None;
            for line in 0..LINES {
                // The reader may lag by half of what is kept.
                while line > read.load(Ordering::SeqCst) + LINES_A_FILE * KEPT as usize / 2 {
                    std::thread::yield_now();
                }
                let open = || File::options().create(true).append(true).open(&path);
                let mut to = file.take().unwrap_or_else(|| open().unwrap());
                writeln!(to, "line {line}").unwrap();
                if line % LINES_A_FILE == LINES_A_FILE - 1 {
                    for n in (1..KEPT).rev() {
                        drop(fs::rename(old(n), old(n + 1)));
                    }
                    fs::rename(&path, old(1)).unwrap();
                } else {
                    file = Some(to);
                }
            }
            let mut last = File::options().create(true).append(true).open(&path);
            last.as_mut().unwrap().write_all(b"the end\n").unwrap();
        })
    };
    let mut sink = Until {
        taken: Vec::new(),
        lines: read,
        end: b"the end\n",
    };
    let ended = Output::at(path).show(None, true, &mut sink).unwrap_err();
    writer.join().unwrap();
    assert_eq!(ended.kind(), io::ErrorKind::BrokenPipe);
    let taken = String::from_utf8(sink.taken).unwrap();
    let mut lines = taken.lines();
    for line in 0..LINES {
        assert_eq!(lines.next(), Some(format!("line {line}").as_str()));
    }
    assert_eq!(lines.collect::<Vec<_>>(), ["the end"]);
}

#[test]
fn only_a_members_name_leads_to_a_file() {
    let home = Home {
        state: PathBuf::from("/state"),
        document: Document::default(),
    };
    for (member, file) in [
        ("web/web-1", Some("/state/output/web/web-1.log")),
        ("web", None),
        ("../web-1", None),
        ("web/../../x", None),
        ("web/", None),
    ] {
        let found = file_of(member, &home);
        assert_eq!(found, file.map(PathBuf::from), "{member}");
    }
}

#[test]
fn without_a_daemon_the_files_say_who_there_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("output/web")).unwrap();
    for name in ["web-1.log", "web-0.log", "web-0.log.1"] {
        fs::write(dir.path().join("output/web").join(name), "").unwrap();
    }
    let home = Home {
        state: dir.path().to_owned(),
        document: Document::default(),
    };
    assert_eq!(
        known(&dir.path().join("output")),
        ["web/web-0", "web/web-1"]
    );
    let told = unknown("web/web1", &home);
    assert_eq!(told.help.unwrap(), "did you mean `web/web-1`?");
}
