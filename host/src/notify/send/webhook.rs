//! A webhook: the document, posted.

use checkd_core::plan::HttpTarget;

use super::secret::Secrets;
use super::{Parcel, http};

pub(super) async fn send(
    to: &HttpTarget,
    parcel: &Parcel,
    secrets: &mut Secrets,
) -> Result<String, String> {
    let body = serde_json::to_vec(&parcel.document).map_err(|e| e.to_string())?;
    http::post(to, "", body, secrets).await
}
