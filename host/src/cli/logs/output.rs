//! The files of one member's output, `web-3.log` and the older `web-3.log.1`, `.2`, …, as one stream
//! that goes on over rotations.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// So much is read at once.
const CHUNK: usize = 64 * 1_024;
/// How long nothing need happen before it is looked anyway: a network file system tells nothing, and
/// neither does a directory that is not there yet.
const LOOK_ANYWAY: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// So many names in a row may be free and a file follows all the same.
const MISSING: u32 = 2;
/// How often it is looked again when names moved meanwhile.
const TRIES: u32 = 100;

/// Where a member's output goes.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
}

impl Output {
    /// The newest of the files is at `path`, the older ones beside it.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The newest of the files.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Every file that is kept, opened, the newest first.
    pub(super) fn kept(&self) -> io::Result<Vec<File>> {
        let mut files = Vec::new();
        for _ in 0..TRIES {
            let before = self.newest();
            files = self.open_all()?;
            // Otherwise a rotation came between: one of them may have moved past us.
            if self.newest() == before {
                break;
            }
        }
        Ok(files)
    }

    /// What changes with each rotation.
    fn newest(&self) -> [Option<(u64, u64)>; 2] {
        [0, 1].map(|number| {
            let meta = std::fs::metadata(self.name(number)).ok()?;
            Some((meta.dev(), meta.ino()))
        })
    }

    fn name(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    }

    fn open_all(&self) -> io::Result<Vec<File>> {
        let mut files: Vec<File> = Vec::new();
        let mut missing = 0;
        for number in 0_u32.. {
            let name = self.name(number);
            // Looked at before it is opened: opening a pipe or a terminal waits.
            let opened = std::fs::metadata(&name).and_then(|meta| {
                if meta.is_file() {
                    File::open(&name)
                } else {
                    Err(io::Error::other("it is not a file"))
                }
            });
            match opened {
                Ok(file) => {
                    // A rotation while we look moves a file to the next name: it is taken once.
                    let known = files.last().map(identity).transpose()?;
                    if known != Some(identity(&file)?) {
                        files.push(file);
                    }
                    missing = 0;
                }
                // In the midst of a rotation one name is free.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing += 1;
                    if missing > MISSING {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// Writes the last `lines`, or all, to `sink`; with `follow` goes on until nobody reads.
    pub(super) fn show(
        &self,
        lines: Option<usize>,
        follow: bool,
        sink: &mut impl Write,
    ) -> io::Result<()> {
        let mut files = self.kept()?;
        keep_last(&mut files, lines)?;
        // Newest first, so the oldest is taken from the end.
        while files.len() > 1 {
            if let Some(file) = files.pop() {
                copy(&file, u64::MAX, sink)?;
            }
        }
        let newest = files.pop();
        if !follow {
            if let Some(mut file) = newest {
                // One that writes faster than we read must not keep us.
                let end = file.metadata()?.len();
                let here = file.stream_position()?;
                copy(&file, end.saturating_sub(here), sink)?;
            }
            return sink.flush();
        }
        self.follow(newest, sink)
    }

    fn follow(&self, mut at: Option<File>, sink: &mut impl Write) -> io::Result<()> {
        loop {
            // Watched before it is read: nothing that happens after the reading is missed.
            let watch = Watch::begin(at.as_ref(), &self.path);
            loop {
                if let Some(file) = &at {
                    copy(file, u64::MAX, sink)?;
                }
                if let Some(next) = self.after(at.as_ref())? {
                    // What was written between the reading and the rotation.
                    if let Some(file) = &at {
                        copy(file, u64::MAX, sink)?;
                    }
                    at = Some(next);
                    break;
                }
                if let Some(file) = &mut at
                    && file.metadata()?.len() < file.stream_position()?
                {
                    // Emptied in its place, as some rotate.
                    file.seek(SeekFrom::Start(0))?;
                    continue;
                }
                sink.flush()?;
                watch.wait()?;
                if at.is_none() {
                    // Its directory may have come, which can be watched then.
                    break;
                }
            }
        }
    }

    /// The file that follows `last`, when there is one: the one that was begun after it, or the
    /// oldest that is left when `last` was removed meanwhile.
    fn after(&self, last: Option<&File>) -> io::Result<Option<File>> {
        let Some(last) = last else {
            return Ok(self.kept()?.pop());
        };
        let wanted = identity(last)?;
        // By far the most often: it is still the newest.
        if std::fs::metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == wanted) {
            return Ok(None);
        }
        let mut newer = None;
        for _ in 0..TRIES {
            newer = None;
            for file in self.kept()? {
                if identity(&file)? == wanted {
                    return Ok(newer);
                }
                newer = Some(file);
            }
            if last.metadata()?.nlink() == 0 {
                break;
            }
        }
        Ok(newer)
    }
}

/// Which file it is, whatever it is called. A file that is held open keeps its number.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

/// Leaves of `files`, newest first, those that hold the last `lines`, each at its place.
fn keep_last(files: &mut Vec<File>, lines: Option<usize>) -> io::Result<()> {
    let Some(mut wanted) = lines else {
        return Ok(());
    };
    let mut used = 0;
    for file in files.iter_mut() {
        used += 1;
        let (from, found) = last_lines(file, wanted)?;
        file.seek(SeekFrom::Start(from))?;
        wanted -= found.min(wanted);
        if wanted == 0 {
            break;
        }
    }
    files.truncate(used);
    Ok(())
}

/// Where the last `wanted` lines begin, and how many there are.
fn last_lines(file: &File, wanted: usize) -> io::Result<(u64, usize)> {
    let size = file.metadata()?.len();
    if wanted == 0 || size == 0 {
        return Ok((size, 0));
    }
    let (mut end, mut found) = (size, 0);
    let mut bytes = vec![0_u8; CHUNK];
    while end > 0 {
        let begin = end.saturating_sub(CHUNK as u64);
        let part = usize::try_from(end - begin).unwrap_or(CHUNK);
        let Some(chunk) = bytes.get_mut(..part) else {
            break;
        };
        file.read_exact_at(chunk, begin)?;
        for (index, byte) in chunk.iter().enumerate().rev() {
            let behind = begin + index as u64 + 1;
            // The newest line's own end divides nothing.
            if *byte == b'\n' && behind != size {
                found += 1;
                if found == wanted {
                    return Ok((behind, found));
                }
            }
        }
        end = begin;
    }
    Ok((0, found + 1))
}

/// At most `limit` bytes from where the file stands.
fn copy(file: &File, limit: u64, sink: &mut impl Write) -> io::Result<()> {
    let mut bytes = vec![0_u8; CHUNK];
    let mut left = limit;
    while left > 0 {
        let room = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut reader = file;
        let read = match bytes.get_mut(..room).map(|room| reader.read(room)) {
            Some(Ok(0)) | None => return Ok(()),
            Some(Ok(read)) => read,
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Some(Err(error)) => return Err(error),
        };
        sink.write_all(bytes.get(..read).unwrap_or_default())?;
        left -= read as u64;
    }
    Ok(())
}

/// Waits until a file grows, or another one takes its place.
struct Watch {
    /// Nothing where the system has no more of them: then only time passes.
    inotify: Option<OwnedFd>,
}

impl Watch {
    fn begin(file: Option<&File>, path: &Path) -> Self {
        let begin = || -> Option<OwnedFd> {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            if let Some(file) = file {
                // By its descriptor: its name may be another file's by now.
                let name = format!("/proc/self/fd/{}", file.as_raw_fd());
                inotify::add_watch(&inotify, name, WatchFlags::MODIFY).ok()?;
            }
            let moves = WatchFlags::CREATE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF;
            let directory = path.ancestors().skip(1).find(|d| d.is_dir())?;
            inotify::add_watch(&inotify, directory, moves).ok()?;
            Some(inotify)
        };
        Self { inotify: begin() }
    }

    /// Until something happened, or it is time to look anyway.
    ///
    /// # Errors
    /// A broken pipe: nobody reads standard output any more.
    fn wait(&self) -> io::Result<()> {
        let stdout = io::stdout();
        // No flag is asked for: the end of a reader is told without.
        let mut watched = vec![PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
        if let Some(inotify) = &self.inotify {
            watched.push(PollFd::new(inotify, PollFlags::IN));
        }
        match poll(&mut watched, Some(&LOOK_ANYWAY)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::ERR | PollFlags::HUP;
        if watched
            .first()
            .is_some_and(|fd| fd.revents().intersects(gone))
        {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // What it was is found out by looking.
        let mut events = [0_u8; 4_096];
        if let Some(inotify) = &self.inotify {
            while rustix::io::read(inotify, &mut events).is_ok_and(|read| read > 0) {}
        }
        Ok(())
    }
}
