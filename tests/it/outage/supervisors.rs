//! The two that keep the members: checkd, and supervisord with a listener of `supervisor_checks`.

use std::fs;
use std::process::{Child, Stdio};

use checkd_tests::{Checkd, Signal, signal, venv};

use super::shop::Shop;
use super::{MEMBERS, Times};

/// checkd's configuration: what a user would write who knows nothing of Redis, so that it is checkd
/// that must see that all of them fail together. The budget, the hold and its canary are the defaults.
pub(super) fn configuration(times: Times) -> String {
    let command: Vec<String> = Shop::command("{port}")
        .iter()
        .map(|word| format!("{word:?}"))
        .collect();
    format!(
        r#"
on_exit = "stop"

[defaults]
interval = "{interval}s"
timeout = "{timeout}s"

[group.shop]
command = [{command}]
processes = {MEMBERS}
ports = {{ base = $BASE }}
stop_timeout = "{stop}s"
environment = {{ SHOP_LOG = "$DIR/shop-{{port}}.log", {environment} }}

[group.shop.checks.ping]
kind = "http"
url = "http://127.0.0.1:{{port}}/ping"

[group.shop.policy]
min_fail_span = "{min_fail_span}s"
canary_after = "{canary_after}s"
confirm_up = "{confirm_up}s"
settle = "{settle}s"
"#,
        interval = times.interval,
        timeout = times.timeout,
        command = command.join(", "),
        stop = times.stop,
        environment = Shop::environment(times)
            .iter()
            .map(|(key, value)| format!("{key} = {value:?}"))
            .collect::<Vec<_>>()
            .join(", "),
        min_fail_span = times.min_fail_span,
        canary_after = times.canary_after,
        confirm_up = times.confirm_up,
        settle = times.settle,
    )
}

/// A running supervisord; it stops its members when it is dropped.
pub(super) struct Supervisord(Child);

impl Drop for Supervisord {
    fn drop(&mut self) {
        signal(self.0.id(), Signal::TERM);
        drop(self.0.wait());
    }
}

/// The listener as the README of `supervisor_checks` has it, but for `method`, without which 0.8.1
/// fails every check; and a supervisord that is as careful about process trees as it can be told to be.
pub(super) fn supervisord(place: &Checkd, times: Times) -> Supervisord {
    let environment: Vec<String> = Shop::environment(times)
        .iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let text = format!(
        r#"
[supervisord]
nodaemon = true
logfile = $DIR/supervisord.log
pidfile = $DIR/supervisord.pid

[unix_http_server]
file = $DIR/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[program:shop]
command = {command}
process_name = shop_%(process_num)d
numprocs = {MEMBERS}
numprocs_start = {base}
environment = SHOP_LOG="$DIR/shop-%(process_num)d.log",{environment}
stopwaitsecs = {stop}
killasgroup = true
stdout_logfile = $DIR/%(program_name)s-%(process_num)d.out
redirect_stderr = true

[eventlistener:shop_check]
command = {check} -n shop_check -g shop -c '{{"http":{{"timeout":{timeout},"port":".+_(\\d+)","url":"/ping","num_retries":{retries},"method":"GET"}}}}'
events = TICK_5
stdout_logfile = $DIR/listener.out
stderr_logfile = $DIR/listener.err
"#,
        command = Shop::command("%(process_num)d").join(" "),
        base = place.port(0),
        environment = environment.join(","),
        stop = times.stop,
        check = venv("supervisor_complex_check").display(),
        timeout = times.rival_timeout,
        retries = times.rival_retries,
    );
    let text = text.replace("$DIR", &place.dir().display().to_string());
    fs::write(place.dir().join("supervisord.conf"), text).expect("it is written");
    let child = place
        .verb_of(&venv("supervisord"), ["-c", "supervisord.conf"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("supervisord starts");
    Supervisord(child)
}
