//! What a person may write for this check, and which of it makes sense together.

use checkd_plugin_api::Problems;
use checkd_plugin_api::units::Port;

/// The options of kind `tcp`.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name or address to connect to.
    #[serde(default = "Options::default_host")]
    pub host: String,
    /// Port to connect to; `"{port}"` is the member's own.
    pub port: Port,
    /// Sent as it stands once connected; needs `expect`.
    #[serde(default)]
    pub send: Option<String>,
    /// Must stand in the first 64 KiB that the peer sends.
    #[serde(default)]
    pub expect: Option<String>,
}

impl Options {
    fn default_host() -> String {
        "127.0.0.1".to_owned()
    }

    /// Every rule that no type can hold.
    pub(crate) fn problems(&self) -> Problems {
        let mut problems = Problems::none();
        if !is_host(&self.host) {
            problems.add(
                "host",
                format!(
                    "is `{}`, which is neither a name nor an address",
                    self.host.escape_debug()
                ),
            );
        }
        if self.send.as_deref() == Some("") {
            problems.add("send", "is empty: leave it out to send nothing");
        }
        if self.send.is_some() && self.expect.is_none() {
            problems.add("send", "needs `expect`: without it nobody reads the answer");
        }
        if self.expect.as_deref() == Some("") {
            problems.add("expect", "is empty, so every peer would pass: leave it out");
        }
        problems
    }
}

/// Whether `host` could be a name or an address; only the resolver knows whether it is one.
fn is_host(host: &str) -> bool {
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/[]@?#".contains(c);
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    !host.is_empty() && !host.contains(strange) && (is_address || !host.contains(':'))
}
