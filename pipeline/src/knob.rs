//! Temporary.
#![allow(missing_docs)]
pub(crate) fn knob(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
