//! Real processes: how they end, what they print, what they leave behind.

use std::io::Read;

use super::*;

fn shell(script: &str) -> Launch {
    Launch::bare("demo", &["sh".into(), "-c".into(), script.into()], None)
}

#[test]
fn a_worker_tells_how_it_ended() {
    for (script, told) in [
        ("exit 3", "exited with code 3"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
        (
            "echo no broker >&2; exit 1",
            "exited with code 1; its last output: no broker",
        ),
        (
            "echo no broker; echo '{'; exit 1",
            "exited with code 1; its last output: no broker",
        ),
        (
            "echo one; echo two; kill -ABRT $$",
            "ended by SIGABRT; its last output: two",
        ),
        (
            "exec 0<&-; exec sleep 60",
            "closed its stream and was killed",
        ),
    ] {
        let (process, mut stream) = shell(script).start().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(process.ending(), told, "{script}");
    }
}

#[test]
fn what_a_worker_started_dies_with_it() {
    let (process, mut stream) = shell("sleep 60 <&0 & echo started >&0; wait")
        .start()
        .unwrap();
    let mut word = [0; 8];
    stream.read_exact(&mut word).unwrap();
    process.kill();
    // The stream ends only when the last process that holds it is gone.
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(process.ending(), "ended by SIGKILL");
}

#[test]
fn endless_output_is_read_on_and_bounded() {
    let (process, mut stream) = shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end")
        .start()
        .unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(process.ending(), "exited with code 0; its last output: end");
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let launch = Launch::bare("demo", &["/nowhere/at/all".into()], None);
    assert_eq!(launch.start().unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(Launch::bare("demo", &[], None).start().is_err());
}
