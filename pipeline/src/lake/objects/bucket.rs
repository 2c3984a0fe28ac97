//! Clients of object stores, and whether the place that a topology names can be used.

use std::{process, sync::Arc, sync::atomic::Ordering, time::Duration};

use object_store::{
    BackoffConfig, ClientConfigKey, CopyMode, CopyOptions, Error, ObjectStore, PutPayload, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, S3CopyIfNotExists},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    client::{HttpError, HttpErrorKind},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

#[cfg(feature = "sqs")]
use super::STATES;
use super::{Objects, STAGING, create};
use crate::{
    clock,
    error::says_region,
    lake::{
        LakeError,
        address::{Bucket, Service},
    },
};

/// How often a request is sent at the most: those that only create, and others.
pub(super) const ONCE: usize = 1;
pub(super) const AGAIN: usize = 4;

/// How long requests are sent again.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one may take, with all it sends.
const TIMEOUT: &str = "120 seconds";

impl Bucket {
    /// A client that takes credentials, and whatever else the topology does not say, from the environment.
    pub(super) fn connect(&self, tries: usize) -> Result<Arc<dyn ObjectStore>, Error> {
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
            max_retries: tries.saturating_sub(1),
            retry_timeout: PATIENCE,
        };
        let in_the_clear = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        Ok(match self.service {
            Service::S3 => Arc::new(self.s3(retry, in_the_clear).build()?),
            Service::GoogleCloud => Arc::new(self.google_cloud(retry, in_the_clear).build()?),
            Service::Azure => Arc::new(self.azure(retry, in_the_clear).build()?),
        })
    }

    /// A client for the large states of `table`, and what their names begin with: beside the lake, where no reader looks.
    ///
    /// # Errors
    /// When what the config or the environment says of it does not fit together.
    #[cfg(feature = "sqs")]
    pub(crate) fn states(&self, table: &str) -> Result<(Arc<dyn ObjectStore>, String), LakeError> {
        let refused = |error: Error| LakeError::Bucket { lake: self.to_string(), reason: error.to_string() };
        let below = format!("{STATES}/{table}");
        let prefix = if self.prefix.is_empty() { below } else { format!("{}/{below}", self.prefix) };
        Ok((self.connect(AGAIN).map_err(refused)?, prefix))
    }

    fn s3(&self, retry: RetryConfig, in_the_clear: bool) -> AmazonS3Builder {
        use AmazonS3ConfigKey::{Client, CopyIfNotExists, S3Endpoint};
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&self.name)
            .with_retry(retry)
            .with_config(Client(ClientConfigKey::Timeout), TIMEOUT);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_config(S3Endpoint, endpoint).with_allow_http(in_the_clear);
        }
        if builder.get_config_value(&CopyIfNotExists).is_none() {
            builder = builder.with_copy_if_not_exists(S3CopyIfNotExists::Multipart);
        }
        builder
    }

    fn google_cloud(&self, retry: RetryConfig, in_the_clear: bool) -> GoogleCloudStorageBuilder {
        let client = |key| GoogleConfigKey::Client(key);
        let mut builder = GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(&self.name)
            .with_retry(retry)
            .with_config(client(ClientConfigKey::Timeout), TIMEOUT);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint);
            builder = builder.with_config(client(ClientConfigKey::AllowHttp), in_the_clear.to_string());
        }
        builder
    }

    fn azure(&self, retry: RetryConfig, in_the_clear: bool) -> MicrosoftAzureBuilder {
        let mut builder = MicrosoftAzureBuilder::from_env()
            .with_container_name(&self.name)
            .with_retry(retry)
            .with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), TIMEOUT);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone()).with_allow_http(in_the_clear);
        }
        builder
    }
}

impl Objects {
    /// Looks once whether the lake can be written: whether the bucket is there, lets itself be listed, written and cleaned
    /// up, and never replaces an object by a request that only creates.
    ///
    /// # Errors
    /// When it cannot, or does not answer just now.
    pub(in crate::lake) async fn check(&self) -> Result<(), LakeError> {
        if self.is_checked() {
            return Ok(());
        }
        self.can_be_read().await?;
        let unlike_others = format!("{STAGING}/check-{:x}-{:x}", clock::now(), process::id());
        let name = self.name(&unlike_others);
        let text = || PutPayload::from_static(b"whether this can be written");
        let put = || self.0.once.put_opts(&name, text(), create());
        put().await.map_err(|error| self.explain("put", error))?;
        self.must_exist("a PUT with `If-None-Match: *`", put().await)?;
        let copy = CopyOptions { mode: CopyMode::Create, ..CopyOptions::default() };
        self.must_exist("a conditional copy", self.0.once.copy_opts(&name, &name, copy).await)?;
        self.remove(&name).await.map_err(|error| self.explain("remove", error))?;
        self.0.checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Looks whether the bucket is there and lets itself be listed.
    ///
    /// # Errors
    /// When it does not, or does not answer just now.
    pub(crate) async fn can_be_read(&self) -> Result<(), LakeError> {
        let listed = self.0.again.list_with_delimiter(Some(&self.name(""))).await;
        listed.map(drop).map_err(|error| self.explain("list", error))
    }

    /// What an object store says to who creates what is there.
    fn must_exist<T>(&self, request: &str, answer: Result<T, Error>) -> Result<(), LakeError> {
        match answer {
            Err(Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(self.explain("replace", error)),
            Ok(_) => Err(self.refused(format!(
                "{request} has replaced an object that was there, and so could rows be; this needs an object store that \
                 refuses it"
            ))),
        }
    }

    /// What an error means for who sets up a lake.
    fn explain(&self, action: &'static str, error: Error) -> LakeError {
        match (&error, status(&error)) {
            (Error::NotFound { .. }, _) | (_, Some(404)) => self.refused("there is no such bucket; create it"),
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) | (_, Some(401 | 403)) => self.refused(format!(
                "the credentials in the environment do not let this process {action} objects: {error}; it needs the rights \
                 to list the bucket, and to get, put and delete objects"
            )),
            (_, Some(300..400)) => self.refused(format!("it is not where it is looked for: {error}; {REGION}")),
            _ if says_region(&error.to_string()) => {
                self.refused(format!("it is in another region: {error}; {REGION}"))
            }
            (_, Some(status @ 400..500)) if !is_passing_status(status) => self.refused(error),
            (Error::NotSupported { .. } | Error::NotImplemented { .. } | Error::InvalidPath { .. }, _) => {
                self.refused(error)
            }
            _ => self.failed(action, &self.name(""))(error),
        }
    }
}

const REGION: &str = "set AWS_REGION to the region of the bucket";

/// Whether an error says that the request has surely had no effect.
pub(super) fn had_no_effect(error: &Error) -> bool {
    match error {
        Error::NotFound { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::InvalidPath { .. } => true,
        Error::Generic { .. } => match status(error) {
            Some(status) => matches!(status, 300..500 | 503),
            None => is_unsent(error),
        },
        _ => false,
    }
}

/// Whether nobody was there to take a request.
fn is_unsent(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return error.kind() == HttpErrorKind::Connect;
        }
        cause = error.source();
    }
    false
}

fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

/// The status that a server has answered; the crate tells it in words alone.
fn status(error: &Error) -> Option<u16> {
    let text = error.to_string();
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}
