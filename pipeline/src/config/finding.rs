//! What a check has found, before its place in the text is known.

use super::pointer::spoken;

/// A mistake, or something to think about, at a part of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// The part, as a JSON pointer.
    pub(super) pointer: String,
    /// Whether the key is meant, not its value.
    pub(super) of_key: bool,
    text: String,
}

impl Finding {
    /// About the value at `pointer`; `text` says what is wrong and the way out.
    pub(super) fn of_value(pointer: &str, text: String) -> Self {
        Self { pointer: pointer.to_owned(), of_key: false, text }
    }

    /// About the key at `pointer`; `text` goes on after its name: "is not a known key".
    pub(super) fn of_key(pointer: &str, text: String) -> Self {
        Self { pointer: pointer.to_owned(), of_key: true, text }
    }

    /// The same about another part.
    pub(super) fn at(self, pointer: impl FnOnce(String) -> String) -> Self {
        Self { pointer: pointer(self.pointer), ..self }
    }

    /// The text with the name of the part.
    pub(super) fn message(&self) -> String {
        let colon = if self.of_key { "" } else { ":" };
        match self.pointer.as_str() {
            "" => self.text.clone(),
            pointer => format!("{}{colon} {}", spoken(pointer), self.text),
        }
    }
}
