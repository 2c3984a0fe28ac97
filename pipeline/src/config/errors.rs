//! What people are told of a config.

use std::{error::Error, fmt};

use super::{
    finding::Finding,
    yaml::{Misread, Node, Place},
};

/// One thing wrong with a config, or to think about: shown as `FILE:LINE:COLUMN: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file as the user named it, or the flag.
    pub file: String,
    /// Where in the file; none when it is about the file as a whole.
    pub place: Option<Place>,
    /// Which part, as a JSON pointer; empty when there is none.
    pub pointer: String,
    /// What is wrong with which value, and the way out.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place { line, column }) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// Every mistake of a config, in the order of the text; shown one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The mistakes, at least one.
    pub mistakes: Vec<Mistake>,
    /// What is allowed, but probably not meant.
    pub warnings: Vec<Mistake>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{mistake}")?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}

impl ConfigErrors {
    pub(super) fn of_file(file: &str, message: String) -> Self {
        let mistake = Mistake { file: file.to_owned(), place: None, pointer: String::new(), message };
        Self { mistakes: vec![mistake], warnings: Vec::new() }
    }

    pub(super) fn of_flags(mistakes: Vec<(&str, String)>) -> Self {
        let mistakes = mistakes.into_iter().flat_map(|(flag, message)| Self::of_file(flag, message).mistakes);
        Self { mistakes: mistakes.collect(), warnings: Vec::new() }
    }

    pub(super) fn of_text(file: &str, misreads: Vec<Misread>) -> Self {
        let mistakes = misreads.into_iter().map(|Misread { place, message }| Mistake {
            file: file.to_owned(),
            place: Some(place),
            pointer: String::new(),
            message,
        });
        Self { mistakes: mistakes.collect(), warnings: Vec::new() }
    }

    pub(super) fn of_findings(
        file: &str,
        node: &Node,
        mistakes: Vec<Finding>,
        warnings: Vec<Finding>,
    ) -> Self {
        Self { mistakes: placed(file, node, mistakes), warnings: placed(file, node, warnings) }
    }
}

/// The findings with their places in the text of `node`, in its order and each once.
pub(super) fn placed(file: &str, node: &Node, findings: Vec<Finding>) -> Vec<Mistake> {
    let place = |finding: Finding| {
        let place = if finding.of_key { Node::place_of_key } else { Node::place };
        Mistake {
            file: file.to_owned(),
            place: Some(place(node, &finding.pointer)),
            message: finding.message(),
            pointer: finding.pointer,
        }
    };
    let mut mistakes: Vec<_> = findings.into_iter().map(place).collect();
    mistakes.sort_by(|a, b| a.place.cmp(&b.place).then_with(|| a.message.cmp(&b.message)));
    mistakes.dedup();
    mistakes
}
