//! Mail, through lettre: subject and text as a person reads them.

use std::time::Duration;

use checkd_core::Span;
use checkd_core::plan::{SmtpTarget, SmtpTls};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::secret::Secrets;
use super::{Parcel, http, tls};

pub(super) async fn send(
    to: &SmtpTarget,
    parcel: &Parcel,
    timeout: Span,
    secrets: &mut Secrets,
) -> Result<String, String> {
    let message = message(to, parcel)?;
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&to.host)
        .port(to.port)
        .hello_name(ClientId::Domain(parcel.document.host.clone()))
        .timeout(Some(Duration::from_millis(timeout.0)))
        .tls(security(to, secrets)?);
    if let Some((name, password)) = &to.login {
        let name = secrets.text("username", name)?;
        let password = secrets.text("password", password)?;
        transport = transport.credentials(Credentials::new(name, password));
    }
    let answer = transport
        .build()
        .send(message)
        .await
        .map_err(|error| words(to, &error))?;
    let said: Vec<&str> = answer.message().collect();
    Ok(format!("answered {} {}", answer.code(), said.join(" ")))
}

/// What went wrong, and of which kind.
fn words(to: &SmtpTarget, error: &lettre::transport::smtp::Error) -> String {
    let inner = http::inner(error);
    let (host, port) = (&to.host, to.port);
    match error.status() {
        Some(code) => format!("the mail server answered {code}: {inner}"),
        None if error.is_timeout() => {
            format!("the mail server {host}:{port} did not answer in time")
        }
        None => format!("the mail server {host}:{port} did not take it: {inner}"),
    }
}

fn security(to: &SmtpTarget, secrets: &Secrets) -> Result<Tls, String> {
    if to.tls == SmtpTls::None {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(to.host.clone());
    if let Some(file) = &to.ca_file {
        let cannot = |why: String| format!("cannot read `{file}` for `ca_file`: {why}");
        let pem = tls::pem(&secrets.path(file)).map_err(cannot)?;
        let certificate = Certificate::from_pem(&pem).map_err(|e| cannot(http::inner(&e)))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters.build_rustls().map_err(|e| http::inner(&e))?;
    Ok(match to.tls {
        SmtpTls::Tls => Tls::Wrapper(parameters),
        SmtpTls::Starttls | SmtpTls::None => Tls::Required(parameters),
    })
}

fn message(to: &SmtpTarget, parcel: &Parcel) -> Result<Message, String> {
    let mailbox = |name: Option<&str>, text: &str| {
        let address: Address = text
            .parse()
            .map_err(|_| format!("`{text}` is no mail address"))?;
        Ok::<_, String>(Mailbox::new(name.map(str::to_owned), address))
    };
    let document = &parcel.document;
    let mut message = Message::builder()
        .from(mailbox(Some("checkd"), &to.from)?)
        .subject(document.subject.clone())
        .message_id(Some(format!("<{}@checkd>", token(&document.id))))
        .header(ContentType::TEXT_PLAIN);
    for address in &to.to {
        message = message.to(mailbox(None, address)?);
    }
    let mut message = message
        .body(document.text.clone())
        .map_err(|e| http::inner(&e))?;
    // No answer of a person who is away comes back.
    message.headers_mut().insert_raw(HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    ));
    Ok(message)
}

/// What may stand in a message's identity.
fn token(text: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    text.chars()
        .map(|c| if fine(c) { c } else { '-' })
        .collect()
}
