//! The part `notify`: whether alerts can be sent to its webhooks.

use std::{fs, path::Path};

use reqwest::header::{HeaderName, HeaderValue};

use crate::{
    config::{finding::Finding, pointer::join},
    notify::{NotifyConfig, Text, WebhookConfig, address},
};

/// What notify says itself, and HTTP.
const OURS: [&str; 6] =
    ["connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding"];

/// What cannot be carried out.
pub(super) fn mistakes(config: &NotifyConfig) -> Vec<Finding> {
    let mut mistakes = Vec::new();
    for (index, webhook) in config.webhooks.iter().enumerate() {
        let at = |key: &str| format!("/notify/webhooks/{index}/{key}");
        let earlier = config.webhooks.iter().take(index);
        // Two names may share a lane, though hardly ever.
        if earlier.into_iter().any(|other| other.lane() == webhook.lane()) {
            let text = format!(
                "webhook {:?} has the name of an earlier webhook; alerts are queued by it",
                webhook.name
            );
            mistakes.push(Finding::of_value(&at("name"), text));
        }
        // Not shown: it may hold a secret.
        if matches!(&webhook.url, Text::Plain(url) if address(url).is_none()) {
            let text = "expected an address such as https://host/path".to_owned();
            mistakes.push(Finding::of_value(&at("url"), text));
        }
        if webhook.backoff_secs_min > webhook.backoff_secs_max {
            let text = format!(
                "{} is more than backoff_secs_max ({}); the wait grows up to that",
                webhook.backoff_secs_min, webhook.backoff_secs_max
            );
            mistakes.push(Finding::of_value(&at("backoff_secs_min"), text));
        }
        let headers = webhook.headers.iter().filter_map(|(name, value)| {
            Some(Finding::of_value(&join(&at("headers"), name), header(webhook, name, value)?))
        });
        mistakes.extend(headers);
    }
    mistakes
}

/// What is wrong with a header.
fn header(webhook: &WebhookConfig, name: &str, value: &Text) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if HeaderName::try_from(name).is_err() {
        return Some(format!("{name:?} is no name of an HTTP header"));
    }
    if OURS.contains(&lower.as_str()) {
        return Some("this header is set by millstream; leave it out".to_owned());
    }
    if lower == "authorization" && webhook.authorization.is_some() {
        return Some("authorization is given beside headers already; leave one of them out".to_owned());
    }
    let twice = webhook.headers.keys().filter(|other| other.eq_ignore_ascii_case(name)).count() > 1;
    if twice {
        return Some("this header is given twice; the case of letters makes no difference".to_owned());
    }
    let unsendable = matches!(value, Text::Plain(text) if HeaderValue::try_from(text).is_err());
    unsendable.then(|| "the value of a header is one line without control characters".to_owned())
}

/// What to think about: a topology may be checked where its secrets are not.
pub(super) fn warnings(config: &NotifyConfig, folder: &Path) -> Vec<Finding> {
    let mut warnings = Vec::new();
    for (index, webhook) in config.webhooks.iter().enumerate() {
        let at = |key: &str| format!("/notify/webhooks/{index}/{key}");
        let kept = |text: &Text, pointer: &str| match text {
            Text::Plain(_) => None,
            Text::Kept(secret) => secret.warning(pointer, folder),
        };
        warnings.extend(kept(&webhook.url, &at("url")));
        let headers = webhook.headers.iter();
        warnings.extend(headers.filter_map(|(name, value)| kept(value, &join(&at("headers"), name))));
        let authorization = webhook.authorization.as_ref();
        warnings.extend(authorization.and_then(|secret| secret.warning(&at("authorization"), folder)));
        let path = webhook.ca_file.as_ref().map(|file| folder.join(file));
        let unreadable = path.and_then(|path| Some((fs::File::open(&path).err()?, path)));
        warnings.extend(unreadable.map(|(error, path)| {
            Finding::of_value(&at("ca_file"), format!("cannot read {}: {error}", path.display()))
        }));
        if webhook.authorization.is_some() && is_in_the_open(&webhook.url) {
            let text = "http:// shows the secret to everybody on the way; use https://".to_owned();
            warnings.push(Finding::of_value(&at("authorization"), text));
        }
    }
    warnings
}

/// Whether others than this machine see what is sent.
fn is_in_the_open(url: &Text) -> bool {
    let Text::Plain(text) = url else { return false };
    address(text).is_some_and(|url| {
        let host = url.host_str().unwrap_or_default();
        url.scheme() == "http" && !matches!(host, "localhost" | "[::1]") && !host.starts_with("127.")
    })
}
