//! What a start reads from files: secrets and environment files, each bounded in size and in time.
//!
//! A file may be on a file system that does not answer, so nothing here runs on the daemon's own
//! threads, and one start that waits holds up no other.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use checkd_core::plan::{Launch, Text};
use tokio::sync::Semaphore;

use super::plain;

/// How long a start waits for its files.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many starts read files at once. One that hangs keeps its place until the file system answers.
const READERS: usize = 32;
/// No file that a start reads is larger. The kernel takes no variable above 128 KiB.
const MAX: u64 = 1 << 20;

/// Whether a start of this reads files.
pub(super) fn asked(launch: &Launch) -> bool {
    let of_file = |text: &Text| matches!(text, Text::File(_));
    !launch.env_file.is_empty() || launch.environment.values().any(of_file)
}

/// The file that is being read.
pub(super) type Reading = Arc<Mutex<String>>;

/// Reads a whole file. It may take as long as its file system likes.
///
/// # Errors
/// For a person, without the path: it is no regular file, it is too large, it cannot be read, it is no
/// text.
pub(super) fn read(path: &str, reading: &Reading) -> Result<String, String> {
    path.clone_into(&mut reading.lock().unwrap_or_else(PoisonError::into_inner));
    // A pipe that nobody writes would keep us in `open` otherwise.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(flags).open(path);
    let file = file.map_err(|e| plain(&e))?;
    let facts = file.metadata().map_err(|e| plain(&e))?;
    if !facts.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| plain(&e))?;
    if bytes.len() as u64 > MAX {
        return Err("it is larger than 1 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

/// The threads that read for starts.
#[derive(Clone, Debug)]
pub(super) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS)))
    }
}

impl Readers {
    /// Does `job` on a thread of its own, and waits for it no longer than a start may wait.
    ///
    /// # Errors
    /// For a person: the job's own, or which file did not answer.
    pub(super) async fn take<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Reading) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        self.take_within(PATIENCE, job).await
    }

    async fn take_within<T: Send + 'static>(
        &self,
        patience: Duration,
        job: impl FnOnce(&Reading) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let reading = Reading::default();
        let work = async {
            let place = Arc::clone(&self.0).acquire_owned().await;
            let reading = Arc::clone(&reading);
            let work = tokio::task::spawn_blocking(move || {
                let done = job(&reading);
                drop(place);
                done
            });
            work.await
                .unwrap_or_else(|_| Err("reading its files ended badly".to_owned()))
        };
        if let Ok(done) = tokio::time::timeout(patience, work).await {
            return done;
        }
        let path = reading.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = patience.as_secs();
        Err(if path.is_empty() {
            format!(
                "{READERS} other starts wait for files that do not answer; \
                 its own were not read within {seconds}s"
            )
        } else {
            format!("cannot read `{path}`: its file system gave nothing within {seconds}s")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_does_not_answer_is_named_and_holds_up_no_other() {
        let readers = Readers::default();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let hung = readers.take_within(Duration::ZERO, move |reading| {
            "/hung/key".clone_into(&mut reading.lock().unwrap());
            held.recv().ok();
            Ok(())
        });
        // What is named depends on whether the thread got so far.
        let why = hung.await.unwrap_err();
        assert!(why.contains("within 0s"), "{why}");
        let other = readers.take(|_| Ok(7)).await;
        assert_eq!(other, Ok(7));
        drop(let_go);
    }

    #[test]
    fn what_is_no_file_of_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let large = std::fs::File::create(path("large")).unwrap();
        large.set_len(MAX + 1).unwrap();
        std::fs::write(path("bytes"), [0xff]).unwrap();
        std::fs::write(path("text"), "word\n").unwrap();
        let pipe = path("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let read = |path: &str| read(path, &Reading::default());
        assert_eq!(read(&path("text")), Ok("word\n".to_owned()));
        for (file, words) in [
            (path("large"), "larger than 1 MiB"),
            (path("bytes"), "not UTF-8"),
            (pipe, "not a regular file"),
            ("/dev/zero".to_owned(), "not a regular file"),
            (path("none"), "no such file"),
        ] {
            let why = read(&file).unwrap_err();
            assert!(why.contains(words), "{file}: {why}");
        }
    }
}
