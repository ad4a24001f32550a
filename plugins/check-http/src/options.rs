//! What a person may write for this check.

use std::collections::BTreeMap;

use checkd_plugin_api::Secret;
use checkd_plugin_api::units::Size;

use crate::status::Statuses;

/// The options of kind `http`.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What to ask for: `http://host:port/path?query`.
    pub url: String,
    /// Method of the request, in capitals.
    #[serde(default = "Options::default_method")]
    pub method: String,
    /// More headers, by name; they win over those that checkd sends by itself.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Sent as it stands; not together with `json`.
    #[serde(default)]
    pub body: Option<String>,
    /// Sent as JSON, with `content-type: application/json` unless `headers` names another.
    #[serde(default)]
    pub json: Option<serde_json::Value>,
    /// For basic authentication, together with `password`.
    #[serde(default)]
    pub username: Option<String>,
    /// For basic authentication, together with `username`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Token for `authorization: Bearer …`.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// Statuses that are fine: `200`, `"2xx"`, or a list of such.
    #[serde(default)]
    pub status: Statuses,
    /// Must stand in the body.
    #[serde(default)]
    pub contains: Option<String>,
    /// So many redirects are followed, 10 at most; one that `status` takes is not.
    #[serde(default)]
    pub redirects: u8,
    /// Most of the body that is read.
    #[serde(default = "Options::default_max_body")]
    pub max_body: Size,
}

impl Options {
    fn default_method() -> String {
        "GET".to_owned()
    }

    fn default_max_body() -> Size {
        Size::bytes(1 << 20)
    }
}
