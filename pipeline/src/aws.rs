//! How the clients of AWS are set up: by what the environment says, as AWS's own tools are.

use std::{error::Error, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::error::SdkError;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::error::with_causes;

/// Tries of one call, the first included; what still fails after them is for the caller to try again.
const TRIES: u32 = 3;
const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the longest wait of a call that waits for messages.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The same of one look: who waits for it wants to know soon.
const LOOK_CONNECT: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_secs(5);

/// Codes of credentials that a service does not know, or that do not fit the signature.
const UNKNOWN: [&str; 4] = [
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// Codes of rights and credentials that are missing beside; those of credentials that have run out pass.
const REFUSED: [&str; 10] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "IncompleteSignature",
    "InvalidSecurity",
    "KmsAccessDenied",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
];

/// Where the services are, beside what the environment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsOptions {
    /// The region; none is that of the environment.
    pub region: Option<String>,
    /// A URL that stands in for the services' own.
    pub endpoint: Option<String>,
}

/// What clients are made from. Credentials come from the environment, the shared files, a container's or an instance's role;
/// they are looked for at the first call.
pub async fn config(options: &AwsOptions) -> SdkConfig {
    config_of(options, TRIES, CONNECT, ATTEMPT).await
}

/// The same for one look, in which nothing is asked twice.
pub async fn config_to_look(options: &AwsOptions) -> SdkConfig {
    config_of(options, 1, LOOK_CONNECT, LOOK).await
}

async fn config_of(options: &AwsOptions, tries: u32, connect: Duration, attempt: Duration) -> SdkConfig {
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts =
        TimeoutConfig::builder().connect_timeout(connect).operation_attempt_timeout(attempt).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(https)
        .retry_config(RetryConfig::standard().with_max_attempts(tries))
        .timeout_config(timeouts);
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &options.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

/// What is said of a request that was signed at another time.
const OUT_OF_TIME: [&str; 3] = ["Signature expired", "Signature not yet current", "RequestTimeTooSkewed"];

/// Whether a code says that rights or credentials are missing.
pub(crate) fn is_refusal(code: &str) -> bool {
    REFUSED.contains(&code) || UNKNOWN.contains(&code)
}

/// Whether a request could not even be made, as no region is named: it never can in this process.
pub(crate) fn is_unset<E: Error + 'static>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => true,
        // What is missing shows where an endpoint is chosen, and where a request is signed.
        SdkError::DispatchFailure(_) => {
            let said = with_causes(error);
            ["Invalid Configuration", "missing signing region"].iter().any(|words| said.contains(words))
        }
        _ => false,
    }
}

/// Whether a request was refused for the time that it was signed at: the clock, or this process, stood still for a moment.
pub(crate) fn is_out_of_time(said: &str) -> bool {
    OUT_OF_TIME.iter().any(|text| said.contains(text))
}

/// Whether a service does not know who asks, by what it says.
pub(crate) fn says_unknown(said: &str) -> bool {
    UNKNOWN.iter().any(|code| said.contains(code))
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};

    use super::*;
    use crate::{
        error::Class,
        queue::{SqsOptions, SqsQueues},
        state::dynamodb::{Table, TableOptions},
    };

    #[tokio::test]
    async fn no_region_is_nothing_to_wait_for() {
        let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
        let nowhere = SdkConfig::builder().behavior_version(BehaviorVersion::latest());
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let nowhere = nowhere.credentials_provider(credentials).http_client(http).build();
        assert_fatal(&nowhere).await;
        let named = nowhere.into_builder().endpoint_url("http://127.0.0.1:9").build();
        assert_fatal(&named).await;
    }

    async fn assert_fatal(nowhere: &SdkConfig) {
        let queues = SqsQueues::open(aws_sdk_sqs::Client::new(nowhere), SqsOptions::default()).await;
        let error = queues.map(drop).expect_err("no region");
        assert_eq!(error.class(), Class::Fatal, "{error}");
        let options = TableOptions { name: "t".to_owned(), retention: Duration::from_secs(1) };
        let error = Table::new(nowhere, options).check().await.expect_err("no region");
        assert_eq!(error.class(), Class::Fatal, "{error}");
    }
}
