//! One webhook: an HTTP client of its own, and what its answers mean.

use std::{error::Error, fs, path::Path, time::Duration};

use chrono::Utc;
use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use stages::frame::Lane;

use super::{
    NotifyError,
    backoff::{Backoff, retry_after},
    config::WebhookConfig,
};
use crate::config::SecretText;

/// How much of an answer's body is read, in bytes, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 4096;
/// The header that tells receivers of repeats
/// ([draft-ietf-httpapi-idempotency-key-header](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/)).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A webhook, ready to be sent to.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub(super) name: String,
    pub(super) lane: Lane,
    /// Scheme, host and port; the rest of the address may be secret.
    pub(super) place: String,
    pub(super) concurrency: usize,
    pub(super) attempts_max: u32,
    pub(super) backoff: Backoff,
    timeout: Duration,
    retry_after_max: Duration,
    url: Url,
    headers: HeaderMap,
    client: Client,
}

/// Why an alert was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// What happened.
    pub(super) reason: String,
    /// Whether the webhook is there and has looked at the alert: others may fare better.
    pub(super) answered: bool,
    /// For how long it asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Webhook {
    /// The webhook that `config` describes; `folder` is that of the topology file.
    ///
    /// # Errors
    /// When a secret or a certificate cannot be read, or the address or a header is none.
    pub fn open(config: &WebhookConfig, folder: &Path) -> Result<Self, NotifyError> {
        let webhook = || config.name.clone();
        let secret = |text: Result<SecretText, String>| {
            text.map_err(|reason| NotifyError::Secret { webhook: webhook(), reason })
        };
        let url = address(secret(config.url.read(folder))?.reveal())
            .ok_or_else(|| NotifyError::Address { webhook: webhook() })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let refused = || NotifyError::Header { webhook: webhook(), header: name.clone() };
            let key = HeaderName::try_from(name).map_err(|_| refused())?;
            headers.insert(key, sensitive(&secret(value.read(folder))?).ok_or_else(refused)?);
        }
        if let Some(authorization) = &config.authorization {
            let header = AUTHORIZATION.to_string();
            let value = sensitive(&secret(authorization.read(folder))?);
            let refused = || NotifyError::Header { webhook: webhook(), header };
            headers.insert(AUTHORIZATION, value.ok_or_else(refused)?);
        }
        Ok(Self {
            name: config.name.clone(),
            lane: config.lane(),
            place: place(&url),
            concurrency: config.concurrency_max.into(),
            attempts_max: config.attempts_max,
            backoff: Backoff { min: secs(config.backoff_secs_min), max: secs(config.backoff_secs_max) },
            timeout: secs(config.timeout_secs),
            retry_after_max: secs(config.retry_after_secs_max),
            client: client(config, folder, &url)?,
            url,
            headers,
        })
    }

    /// Sends one alert.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) async fn post(&self, key: &str, body: String) -> Result<(), Failure> {
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY, key)
            .headers(self.headers.clone())
            .body(body);
        match request.send().await {
            Ok(answer) => {
                let verdict = self.verdict(&answer);
                read_little(answer).await;
                verdict
            }
            Err(error) => Err(Failure { reason: self.unreached(&error), answered: false, retry_after: None }),
        }
    }

    fn verdict(&self, answer: &Response) -> Result<(), Failure> {
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let hint = if status.is_redirection() {
            "; redirects are not followed, set url to where it leads"
        } else {
            ""
        };
        let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = asked.and_then(|text| retry_after(text, Utc::now()));
        Err(Failure {
            reason: format!("{} answered {status}{hint}", self.place),
            answered: !is_busy(status),
            retry_after: retry_after.map(|wait| wait.min(self.retry_after_max)),
        })
    }

    /// Why there was no answer, without the address: it may hold secrets.
    fn unreached(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("{} did not answer within {} s", self.place, self.timeout.as_secs());
        }
        let mut cause: &dyn Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let tried = if error.is_connect() { "cannot connect to" } else { "no answer from" };
        // The outermost error tells the address, the innermost what happened.
        let why = if error.source().is_some() { cause.to_string() } else { "the request failed".to_owned() };
        format!("{tried} {}: {why}", self.place)
    }
}

/// An address that can be sent to.
pub(crate) fn address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// The part of an address that is never secret.
fn place(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Whether a status tells of the webhook rather than of the alert: it is overloaded or away.
fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502..=504)
}

fn sensitive(text: &SecretText) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text.reveal()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn client(config: &WebhookConfig, folder: &Path, url: &Url) -> Result<Client, NotifyError> {
    let webhook = || config.name.clone();
    let mut builder = Client::builder()
        .user_agent(concat!("millstream/", env!("CARGO_PKG_VERSION")))
        .timeout(secs(config.timeout_secs))
        .redirect(Policy::none())
        .pool_max_idle_per_host(config.concurrency_max.into());
    if let Some(file) = &config.ca_file {
        let path = folder.join(file);
        let unreadable = |reason: String| NotifyError::Certificates {
            webhook: webhook(),
            path: path.display().to_string(),
            reason,
        };
        let pem = fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(error.to_string()))?;
        if certificates.is_empty() {
            return Err(unreadable("there is no certificate in it (PEM)".to_owned()));
        }
        builder = builder.tls_certs_only(certificates);
    } else if url.scheme() == "http" {
        // Nothing is to be trusted, so a machine without certificates will do.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|source| NotifyError::Client { webhook: webhook(), source })
}

async fn read_little(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > ANSWER_BYTES_MAX {
            break;
        }
    }
}

fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_an_address_holds_no_secret() {
        let shown = |text| address(text).map(|url| place(&url));
        for (text, expected) in [
            (
                "https://u:swordfish@hooks.example.org/T0/B0/swordfish?k=swordfish",
                Some("https://hooks.example.org"),
            ),
            ("http://[::1]:8080/a", Some("http://[::1]:8080")),
            ("HTTP://localhost", Some("http://localhost")),
            ("ftp://example.org", None),
            ("example.org/hook", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
    }
}
