//! Topic patterns: which messages belong together, and what their topics say.
//!
//! A pattern is an MQTT topic filter whose single-level wildcards may have names:
//! `{site}/{line}/{device}/#`. Matching follows [MQTT 5.0, section 4.7][mqtt], except that a capture
//! never takes an empty level: a device without a name would be nobody.
//!
//! [mqtt]: https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901241

mod config;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub use self::config::{ConfigMistake, TopicConfig};

/// The longest topic that MQTT can carry, and so the longest pattern.
const TOPIC_BYTES_MAX: usize = 65_535;

/// One pattern, as `devices/{device}/telemetry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    levels: Vec<Level>,
    rest: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Literal(String),
    Any,
    Capture(String),
}

impl Level {
    fn matches(&self, level: &str) -> bool {
        match self {
            Self::Literal(text) => text == level,
            Self::Any => true,
            Self::Capture(_) => !level.is_empty(),
        }
    }
}

impl Pattern {
    /// Reads a pattern: literal levels, `{name}` for one level with a name, `+` for one without,
    /// and `#` as the last level for any number of them, none included.
    ///
    /// # Errors
    /// When a wildcard shares its level with other text, `#` is not last, a name is unusable or
    /// taken, or MQTT could not carry such a topic.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let refused = |fault| PatternError { pattern: text.to_owned(), fault };
        if text.is_empty() {
            return Err(refused(Fault::Empty));
        }
        if text.len() > TOPIC_BYTES_MAX {
            let start = text.chars().take(40).collect();
            return Err(PatternError { pattern: start, fault: Fault::TooLong });
        }
        if text.contains('\0') {
            return Err(refused(Fault::Nul));
        }
        let (body, rest) = match text {
            "#" => (None, true),
            _ => text.strip_suffix("/#").map_or((Some(text), false), |body| (Some(body), true)),
        };
        let mut pattern = Self { text: text.to_owned(), levels: Vec::new(), rest };
        for level in body.into_iter().flat_map(|body| body.split('/')) {
            let level = parse_level(level).map_err(refused)?;
            if let Level::Capture(name) = &level
                && pattern.captures().any(|taken| taken == name)
            {
                return Err(refused(Fault::Repeated(name.clone())));
            }
            pattern.levels.push(level);
        }
        Ok(pattern)
    }

    /// The names that a topic of this pattern gives values to, in their order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            Level::Capture(name) => Some(name.as_str()),
            Level::Literal(_) | Level::Any => None,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The topic filter that a broker understands: every named level is a `+`.
    pub fn filter(&self) -> String {
        let levels = self.levels.iter().map(|level| match level {
            Level::Literal(text) => text.as_str(),
            Level::Any | Level::Capture(_) => "+",
        });
        levels.chain(self.rest.then_some("#")).collect::<Vec<_>>().join("/")
    }

    /// Whether `topic` belongs to this pattern. A topic that begins with `$` (a server's own)
    /// never does when the pattern begins with a wildcard or a capture.
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Literal(_))) {
            return false;
        }
        let mut found = levels(topic);
        let all = self.levels.iter().all(|level| found.next().is_some_and(|text| level.matches(text)));
        all && (self.rest || found.next().is_none())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

fn parse_level(level: &str) -> Result<Level, Fault> {
    if level == "+" {
        return Ok(Level::Any);
    }
    if level == "#" {
        return Err(Fault::RestNotLast);
    }
    if level.contains(['+', '#']) {
        return Err(Fault::MixedWildcard(level.to_owned()));
    }
    if !level.contains(['{', '}']) {
        return Ok(Level::Literal(level.to_owned()));
    }
    let name = level.strip_prefix('{').and_then(|tail| tail.strip_suffix('}'));
    let name = name.filter(|name| !name.contains(['{', '}']));
    let name = name.ok_or_else(|| Fault::MixedCapture(level.to_owned()))?;
    let usable = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_' || char == '-');
    if usable { Ok(Level::Capture(name.to_owned())) } else { Err(Fault::Name(name.to_owned())) }
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic pattern {pattern:?}: {fault}")]
pub struct PatternError {
    pattern: String,
    fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it is empty; write `#` for every topic")]
    Empty,
    #[error("it is longer than {TOPIC_BYTES_MAX} bytes, which no topic can be")]
    TooLong,
    #[error("it contains a NUL, which no topic may")]
    Nul,
    #[error("`#` may only be the last level; write `+` for one level")]
    RestNotLast,
    #[error("the level {0:?} mixes a wildcard with other text; `+` or `#` must be a whole level")]
    MixedWildcard(String),
    #[error("the level {0:?} mixes a capture with other text; `{{name}}` must be a whole level")]
    MixedCapture(String),
    #[error("{0:?} cannot name a capture; use ASCII letters, digits, `_` and `-`, a letter or `_` first")]
    Name(String),
    #[error("it captures {0:?} twice; give one of the levels another name, or write `+`")]
    Repeated(String),
}

/// Patterns in order of preference.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    patterns: Vec<Pattern>,
}

impl Topics {
    /// Patterns, of which the first that fits a topic is the one it belongs to.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns }
    }

    /// The patterns in order; [`TopicMatch::pattern`] counts them from 0.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The first pattern that `topic` belongs to. Allocates nothing.
    pub fn find<'a>(&'a self, topic: &'a str) -> Option<TopicMatch<'a>> {
        let pattern = self.patterns.iter().position(|pattern| pattern.matches(topic))?;
        Some(TopicMatch { pattern, levels: &self.patterns[pattern].levels, topic })
    }
}

/// A topic and the pattern it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct TopicMatch<'a> {
    /// Which pattern of [`Topics::patterns`].
    pub pattern: usize,
    levels: &'a [Level],
    topic: &'a str,
}

impl<'a> TopicMatch<'a> {
    /// What the lane of a message follows from: the capture `device`, or the topic where there is none.
    pub fn device_or_topic(&self) -> &'a str {
        self.capture("device").unwrap_or(self.topic)
    }

    /// What the topic says for the capture `name`; none when the pattern has no such capture.
    pub fn capture(&self, name: &str) -> Option<&'a str> {
        let levels = self.levels.iter().zip(levels(self.topic));
        levels.into_iter().find_map(|(level, text)| match level {
            Level::Capture(capture) if capture == name => Some(text),
            _ => None,
        })
    }
}

/// The levels of a topic: they are short, and looking at each byte is faster than what the library does for long texts.
fn levels(topic: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(topic);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.bytes().position(|byte| byte == b'/');
        rest = end.and_then(|end| text.get(end + 1..));
        text.get(..end.unwrap_or(text.len()))
    })
}
