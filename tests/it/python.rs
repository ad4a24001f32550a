//! The Python package: its own tests, and what its checks may do in a real daemon.

use std::process::Command;

use checkd_tests::{Checkd, root};

#[test]
fn the_package_passes_its_own_tests() {
    let output = Command::new("timeout")
        .args([
            "300", "python3", "-m", "unittest", "discover", "-s", "tests", "-t", ".",
        ])
        .current_dir(root().join("plugin-api/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3 runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("\nOK"), "{told}");
    assert!(
        !told.contains("Ran 0 tests"),
        "this test looks wrongly: {told}"
    );
}

#[test]
fn a_check_that_misbehaves_costs_its_own_runs_and_no_member() {
    let hostile = root().join("plugin-api/python/tests/hostile.py");
    let config = format!(
        r#"
[plugin.hostile]
command = ["python3", "{}"]

[defaults]
interval = "1s"
timeout = "900ms"

[group.web]
command = ["sleep", "infinity"]
processes = 1

[group.web.checks]
passes = {{ kind = "py_passes" }}
typed = {{ kind = "py_typed", port = 80, age = "2m", token = {{ file = "$DIR/token" }} }}
raises = {{ kind = "py_raises" }}
exits = {{ kind = "py_exits" }}
prints = {{ kind = "py_prints" }}
forks = {{ kind = "py_forks" }}
refused = {{ kind = "py_refused" }}
frozen = {{ kind = "py_frozen" }}

[group.web.health]
live = "passes and raises"
"#,
        hostile.display()
    );
    let mut daemon = Checkd::prepare(&config);
    std::fs::write(daemon.dir().join("token"), "hunter2\n").expect("it is written");
    daemon.run();
    let pid = || {
        daemon
            .member("web/web-0")
            .map(|member| member["generation"]["pid"].clone())
    };
    daemon.wait_check("web/web-0", "passes", "pass");
    let began = pid();
    for (check, status) in [
        ("passes", "pass"),
        ("typed", "pass"),
        ("prints", "pass"),
        ("forks", "pass"),
        ("refused", "fail"),
        ("frozen", "fail"),
        ("raises", "unknown"),
        ("exits", "unknown"),
    ] {
        daemon.wait_check("web/web-0", check, status);
    }
    for (kind, words) in [
        ("py_raises", "ValueError: on purpose"),
        ("py_typed", "token=[secret]"),
    ] {
        daemon.wait("web/web-0", words, |member| {
            let leaves = member["checks"].as_array()?;
            let one = leaves.iter().find(|one| one["kind"] == kind)?;
            one["message"].as_str()?.contains(words).then_some(())
        });
    }
    assert!(began.as_ref().is_some_and(serde_json::Value::is_u64));
    assert_eq!(pid(), began, "nobody was restarted");
    assert!(!daemon.talk().contains("hunter2"));
}
