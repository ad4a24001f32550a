//! Files that are no plugin for this host: each is refused before anything of it runs, with its
//! reason. Real plugins are loaded in the tests of the workers.

use super::*;

/// The beginning of an ELF file.
fn elf(class: u8, order: u8, kind: u16, machine: u16) -> Vec<u8> {
    let number = |number: u16| {
        if order == 2 {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let mut header = vec![
        0x7f, b'E', b'L', b'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    header.extend(number(kind));
    header.extend(number(machine));
    header
}

#[test]
fn a_file_that_is_no_library_for_this_machine_is_refused() {
    let other = if MACHINE == 62 {
        (183, "aarch64")
    } else {
        (62, "x86-64")
    };
    for (content, code, told) in [
        (Vec::new(), "C0202", "it is empty"),
        (b"#!/bin/sh\n".to_vec(), "C0202", "some other kind of file"),
        (
            b"\x7fELF\x02\x01".to_vec(),
            "C0202",
            "cut off in its header",
        ),
        (elf(2, 1, 3, other.0), "C0202", other.1),
        (elf(1, 1, 3, 3), "C0202", "x86 (32 bit)"),
        (elf(2, 2, 3, 22), "C0202", "s390x"),
        (elf(2, 1, 2, MACHINE), "C0202", "a program"),
        (elf(2, 1, 1, MACHINE), "C0202", "an object file"),
        (
            elf(2, 1, 3, MACHINE),
            "C0202",
            "speaks of 64 bytes, the file has 20",
        ),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let fault = Library::open(file.path()).unwrap_err();
        assert_eq!(fault.code, code, "{told}: {fault:?}");
        assert!(
            fault.notes.iter().any(|note| note.contains(told)),
            "{told}: {fault:?}"
        );
    }
}

#[test]
fn a_path_without_a_file_is_refused() {
    for (path, told) in [("/nowhere/at/all.so", "no such file"), ("/", "a directory")] {
        let fault = Library::open(Path::new(path)).unwrap_err();
        assert_eq!(fault.code, "C0201");
        assert!(
            fault.notes.iter().any(|note| note.contains(told)),
            "{fault:?}"
        );
    }
}
