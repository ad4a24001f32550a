//! A group of two members that several subjects are tested on.

use checkd_tests::Checkd;

/// Two members that are the quick start's servers, checked so often that tests are short.
pub(crate) const CONFIG: &str = r#"
[defaults]
interval = "500ms"
timeout = "250ms"

[group.web]
command = [$SERVER]
processes = 2
ports = { base = $BASE }
stop_timeout = "2s"

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.policy]
fall = 2
min_fail_span = "250ms"
confirm_up = "1s"
settle = "0s"
"#;

/// The pids of both, once they are healthy.
pub(crate) fn healthy_pair(checkd: &Checkd) -> [u32; 2] {
    ["web/web-0", "web/web-1"].map(|path| checkd.wait_health(path, "healthy"))
}
