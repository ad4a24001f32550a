//! Whom a secured connection trusts: what this machine trusts, and a file of the person's own.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Secures a connection to `host`.
///
/// # Errors
/// One line: the certificates cannot be read, or the other side is not who it should be.
pub(super) async fn secure(
    stream: TcpStream,
    host: &str,
    ca_file: Option<&Path>,
) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| format!("`{host}` is no name that a certificate could be for"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|e| {
            format!(
                "the connection cannot be secured: {}",
                super::http::inner(&e)
            )
        })
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // A machine's own store may hold certificates that nobody can read; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(path) = ca_file else {
        return Ok(roots);
    };
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| {
            format!(
                "`{}` holds a certificate that cannot be used: {e}",
                path.display()
            )
        })?;
    }
    Ok(roots)
}

/// The certificates of a PEM file.
///
/// # Errors
/// One line: it cannot be read, or holds none.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let cannot = |why: String| format!("cannot read `{}` for `ca_file`: {why}", path.display());
    let pem = pem(path).map_err(cannot)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(cannot("it holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(cannot(error.to_string())),
    }
}

/// The bytes of a PEM file of a sensible size.
///
/// # Errors
/// One line.
pub(super) fn pem(path: &Path) -> Result<Vec<u8>, String> {
    const MOST: u64 = 4 << 20;
    let meta = std::fs::metadata(path).map_err(|e| crate::manager::plain(&e))?;
    if !meta.is_file() || meta.len() > MOST {
        return Err("it is no file of certificates".to_owned());
    }
    std::fs::read(path).map_err(|e| crate::manager::plain(&e))
}
