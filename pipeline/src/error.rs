//! What a caller can do about an error, and what people are told of it.

use std::error::Error;

/// The class of an error: each boundary's error type tells its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may work later, unchanged: a busy file, a full disk, a lost lease.
    Retry,
    /// It will never work with this input: set the input aside with the reason.
    Dead,
    /// It will not work again in this process: stop, and say why.
    Fatal,
}

/// What happened and why; causes that a message tells already are not told again.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Whether a service of AWS, or what is like one, says that it was asked in the wrong region.
#[cfg(any(feature = "sqs", feature = "object-store"))]
pub(crate) fn says_region(said: &str) -> bool {
    ["AuthorizationHeaderMalformed", "Credential should be scoped", "configured region", "valid region"]
        .iter()
        .any(|words| said.contains(words))
}
