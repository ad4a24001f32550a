//! How long a shared library says it is: one that is shorter was cut off, and would break whoever
//! maps it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The length of the header of a 64-bit file.
const HEADER: u64 = 64;
/// The length of one entry that describes a segment, and a section.
const SEGMENT: u64 = 56;
const SECTION: u64 = 64;
/// A section that takes no room in the file.
const NO_BITS: u32 = 8;

/// Holds a 64-bit little-endian ELF file against what its header speaks of.
///
/// The error of the inner result is for a person: what shows that the file is damaged.
pub(super) fn whole(file: &File) -> io::Result<Result<(), String>> {
    let size = file.metadata()?.len();
    let short = |needed: u64| {
        Err(format!(
            "it is cut off or damaged: its header speaks of {needed} bytes, the file has {size}"
        ))
    };
    if size < HEADER {
        return Ok(short(HEADER));
    }
    let header = read(file, 0, HEADER)?;
    let (segments, sections) = (long(&header, 32), long(&header, 40));
    let (segment, segment_count) = (word(&header, 54), word(&header, 56));
    let (section, section_count) = (word(&header, 58), word(&header, 60));
    if segment_count == 0 || segment != SEGMENT || (section_count > 0 && section != SECTION) {
        return Ok(Err("it is damaged: its header makes no sense".into()));
    }
    // A file without sections is as good; then both are zero.
    let tables = [
        (segments, SEGMENT * segment_count),
        (sections, SECTION * section_count),
    ];
    let mut needed = HEADER;
    for (at, length) in tables {
        needed = needed.max(at.saturating_add(length));
    }
    if needed > size {
        return Ok(short(needed));
    }
    let [(at, length), _] = tables;
    for one in read(file, at, length)?.chunks_exact(56) {
        needed = needed.max(long(one, 8).saturating_add(long(one, 32)));
    }
    let [_, (at, length)] = tables;
    for one in read(file, at, length)?.chunks_exact(64) {
        if part::<4>(one, 4).map(u32::from_le_bytes) != Some(NO_BITS) {
            needed = needed.max(long(one, 24).saturating_add(long(one, 32)));
        }
    }
    Ok(if needed > size { short(needed) } else { Ok(()) })
}

/// Whether a file is a program, which may be started: it has a fixed place in memory, or names who
/// loads it. False for a library and for what is no ELF file.
pub(super) fn is_program(file: &File) -> io::Result<bool> {
    const FIXED: u64 = 2;
    const SHARED: u64 = 3;
    const INTERPRETER: u32 = 3;
    if file.metadata()?.len() < HEADER {
        return Ok(false);
    }
    let header = read(file, 0, HEADER)?;
    if !header.starts_with(b"\x7fELF") || word(&header, 54) != SEGMENT {
        return Ok(false);
    }
    let segments = match word(&header, 16) {
        FIXED => return Ok(true),
        SHARED => read(file, long(&header, 32), SEGMENT * word(&header, 56))?,
        _ => return Ok(false),
    };
    Ok(segments
        .chunks_exact(56)
        .any(|one| part::<4>(one, 0).map(u32::from_le_bytes) == Some(INTERPRETER)))
}

fn read(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    // At most as much as a table of 65,535 entries.
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn long(bytes: &[u8], at: usize) -> u64 {
    part(bytes, at).map_or(0, u64::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    part(bytes, at).map_or(0, |two| u64::from(u16::from_le_bytes(two)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file of 300 bytes: a header, one segment, bytes, and two sections, of which the second
    /// takes no room.
    fn library() -> Vec<u8> {
        let mut file = vec![0; 300];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(32, &64u64.to_le_bytes());
        put(40, &172u64.to_le_bytes());
        for (at, number) in [(54, 56u16), (56, 1), (58, 64), (60, 2)] {
            put(at, &number.to_le_bytes());
        }
        put(64 + 32, &170u64.to_le_bytes());
        put(172 + 24, &120u64.to_le_bytes());
        put(172 + 32, &50u64.to_le_bytes());
        put(236 + 4, &8u32.to_le_bytes());
        put(236 + 32, &4096u64.to_le_bytes());
        file
    }

    fn judged(bytes: &[u8]) -> Result<(), String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        whole(&file).unwrap()
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_is_told_from_a_whole_one() {
        let whole = library();
        assert_eq!(judged(&whole), Ok(()));
        for length in 0..whole.len() {
            let told = judged(&whole[..length]).unwrap_err();
            assert!(told.contains("cut off"), "{length}: {told}");
            assert!(told.contains(&format!("has {length}")), "{length}: {told}");
        }
    }

    #[test]
    fn a_segment_or_a_section_beyond_the_end_is_found() {
        for at in [64 + 8, 172 + 24] {
            for beyond in [290u64, u64::MAX] {
                let mut file = library();
                file[at..at + 8].copy_from_slice(&beyond.to_le_bytes());
                assert!(judged(&file).unwrap_err().contains("cut off"), "{at}");
            }
        }
    }

    #[test]
    fn a_header_that_makes_no_sense_is_refused_and_one_without_sections_is_not() {
        for at in [54, 56, 58] {
            let mut file = library();
            file[at] = 0;
            assert!(
                judged(&file).unwrap_err().contains("makes no sense"),
                "{at}"
            );
        }
        let mut stripped = library();
        stripped[40..48].fill(0);
        stripped[58..62].fill(0);
        assert_eq!(judged(&stripped[..234]), Ok(()));
    }

    #[test]
    fn this_very_program_is_whole() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(whole(&file).unwrap(), Ok(()));
    }
}
