//! The paths that a command is given.

use super::*;

#[test]
fn a_script_needs_its_interpreter_also_by_env_and_what_loads_them() {
    let directory = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let plain = script("plain", "#!/bin/sh -e\necho\n");
    let by_env = script("env", "#! /usr/bin/env  -S sh -e\n");
    let by_script = script("script", &format!("#!{}\n", plain.display()));
    let sh = paths::programs(&["sh".into()]);
    let loaders = sh.len() - 1;
    assert!(sh[loaders].ends_with("sh"), "{sh:?}");
    let of = |path: &Path| paths::programs(&[path.into(), "x".into()]).split_off(loaders);
    assert_eq!(of(&plain), [plain.clone(), "/bin/sh".into()]);
    assert_eq!(of(&by_env)[..2], [by_env.clone(), "/usr/bin/env".into()]);
    assert_eq!(of(&by_env)[2], sh[loaders]);
    assert_eq!(of(&by_script), [by_script.clone(), plain, "/bin/sh".into()]);
    assert_eq!(of(Path::new("/nowhere")), [Path::new("/nowhere")]);
}
