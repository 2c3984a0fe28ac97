//! What a caller can do about an error.

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
