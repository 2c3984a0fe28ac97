//! YAML text as a tree of JSON values in which every key and value knows its place.
//!
//! The core schema of YAML 1.2 (`no` is text, `0o17` a number). What would surprise is refused:
//! keys given twice, tags, numbers that JSON cannot hold, aliases that multiply without end.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Number, Value};

use super::pointer::tokens;

/// How deep lists and mappings may nest.
pub(super) const DEPTH_MAX: usize = 64;
/// How many values a document may have once its aliases are filled in.
const NODES_MAX: usize = 100_000;
/// Up to here a float counts every integer, 2^53.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A position in the text, both counted from 1; columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl From<&Marker> for Place {
    fn from(marker: &Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}

/// Something that makes the text unusable, and where.
#[derive(Debug)]
pub(super) struct Misread {
    pub(super) place: Place,
    pub(super) message: String,
}

impl Misread {
    fn new(marker: &Marker, message: impl Into<String>) -> Self {
        Self { place: marker.into(), message: message.into() }
    }
}

impl From<ScanError> for Misread {
    fn from(error: ScanError) -> Self {
        Self::new(error.marker(), format!("not readable as YAML: {}", error.info()))
    }
}

/// One value of the text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    place: Place,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Scalar(Value),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    place: Place,
    value: Node,
}

impl Node {
    /// Reads the one document in `text`; an empty one is an empty mapping.
    ///
    /// # Errors
    /// The syntax error, or every key that is given twice.
    pub(super) fn read(text: &str) -> Result<Self, Vec<Misread>> {
        let mut reader = Reader {
            events: Parser::new_from_str(text),
            anchors: HashMap::new(),
            nodes: 0,
            repeated: Vec::new(),
        };
        let root = reader.document().map_err(|misread| vec![misread])?;
        if reader.repeated.is_empty() { Ok(root) } else { Err(reader.repeated) }
    }

    /// The value without its places.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Sequence(items) => items.iter().map(Self::value).collect(),
            Content::Mapping(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect()
            }
        }
    }

    /// Where the value that a JSON pointer names stands; a list or mapping is where its key is. What is not in
    /// the text stands where the innermost part of it does that is.
    pub(super) fn place(&self, pointer: &str) -> Place {
        self.walk(pointer, |entry| match entry.value.content {
            Content::Scalar(_) => entry.value.place,
            Content::Sequence(_) | Content::Mapping(_) => entry.place,
        })
    }

    /// Where the key that a JSON pointer ends with stands.
    pub(super) fn place_of_key(&self, pointer: &str) -> Place {
        self.walk(pointer, |entry| entry.place)
    }

    fn walk(&self, pointer: &str, of_entry: impl Fn(&Entry) -> Place) -> Place {
        let (mut node, mut place) = (self, self.place);
        for token in tokens(pointer) {
            (node, place) = match &node.content {
                Content::Sequence(items) => {
                    let Some(item) = token.parse().ok().and_then(|index: usize| items.get(index)) else {
                        break;
                    };
                    (item, item.place)
                }
                Content::Mapping(entries) => {
                    let Some(entry) = entries.iter().find(|entry| entry.key == token) else { break };
                    (&entry.value, of_entry(entry))
                }
                Content::Scalar(_) => break,
            };
        }
        place
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    repeated: Vec<Misread>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Misread> {
        let mut root = None;
        while let Some(event) = self.events.next_event() {
            let (event, span) = event?;
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(_) if root.is_none() => {}
                Event::DocumentStart(_) => {
                    return Err(Misread::new(
                        &span.start,
                        "a config is one YAML document, here a second one begins",
                    ));
                }
                Event::StreamEnd => break,
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
        Ok(root
            .filter(|node| !matches!(node.content, Content::Scalar(Value::Null)))
            .unwrap_or(Node { place: Place { line: 1, column: 1 }, content: Content::Mapping(Vec::new()) }))
    }

    fn node(&mut self, event: Event<'_>, span: &Span, depth: usize) -> Result<Node, Misread> {
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(Misread::new(&span.start, format!("nested more than {DEPTH_MAX} levels deep")));
        }
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, Content::Scalar(scalar(&text, style, tag.as_deref(), &span.start)?))
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag, &span.start)?;
                (anchor, Content::Sequence(self.sequence(depth)?))
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag, &span.start)?;
                (anchor, Content::Mapping(self.mapping(depth)?))
            }
            Event::Alias(anchor) => (0, self.alias(anchor, &span.start)?),
            _ => return Err(Misread::new(&span.start, "not readable as YAML: a value is missing")),
        };
        let node = Node { place: (&span.start).into(), content };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Misread> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<Entry>, Misread> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Misread::new(&span.start, "a key must be text")),
            };
            let place = Place::from(&span.start);
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            match entries.iter().find(|entry| entry.key == key) {
                Some(first) => {
                    let message =
                        format!("{key} is given twice, first on line {}; keep one", first.place.line);
                    self.repeated.push(Misread { place, message });
                }
                None => entries.push(Entry { key, place, value }),
            }
        }
    }

    fn alias(&mut self, anchor: usize, marker: &Marker) -> Result<Content, Misread> {
        let node = self
            .anchors
            .get(&anchor)
            .ok_or_else(|| Misread::new(marker, "an alias inside its own anchor"))?;
        self.nodes += count(node);
        if self.nodes > NODES_MAX {
            return Err(Misread::new(
                marker,
                format!("aliases make more than {NODES_MAX} values of this text"),
            ));
        }
        Ok(node.content.clone())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Misread> {
        match self.events.next_event() {
            Some(event) => Ok(event?),
            None => Err(Misread {
                place: Place { line: 1, column: 1 },
                message: "the text ends too early".into(),
            }),
        }
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.content {
        Content::Scalar(_) => 0,
        Content::Sequence(items) => items.iter().map(count).sum(),
        Content::Mapping(entries) => entries.iter().map(|entry| count(&entry.value)).sum(),
    }
}

fn collection_tag(tag: Option<Cow<'_, Tag>>, marker: &Marker) -> Result<(), Misread> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err(unknown_tag(&tag, marker)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, marker: &Marker) -> Misread {
    Misread::new(marker, format!("the tag {tag} means nothing here; leave it out"))
}

/// The value of a scalar by the core schema, <https://yaml.org/spec/1.2.2/#103-core-schema>; a float without a
/// fraction (`1e3`) is the integer.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, marker: &Marker) -> Result<Value, Misread> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => return Err(unknown_tag(tag, marker)),
        Some(tag) if tag.suffix == "str" => return Ok(text.into()),
        _ if style != ScalarStyle::Plain => return Ok(text.into()),
        _ => {}
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(true.into()),
        "false" | "False" | "FALSE" => Ok(false.into()),
        _ => match (integer(text), float(text)) {
            (Some(integer), _) => Ok(integer.into()),
            (None, Some(float)) => Number::from_f64(float)
                .map(Value::Number)
                .ok_or_else(|| Misread::new(marker, format!("{text} is no finite number"))),
            (None, None) => Ok(text.into()),
        },
    }
}

fn integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok();
    }
    let whole = || float(text).filter(|float| float.fract() == 0.0 && float.abs() <= WHOLE_MAX);
    text.parse().ok().or_else(|| whole().map(|float| float as i64))
}

fn float(text: &str) -> Option<f64> {
    match text.trim_start_matches(['+', '-']) {
        ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        // `f64` also parses words, such as "infinity".
        rest if rest.starts_with(|first: char| first.is_ascii_digit() || first == '.') => text.parse().ok(),
        _ => None,
    }
}
