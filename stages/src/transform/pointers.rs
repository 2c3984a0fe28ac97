//! The JSON pointers ([RFC 6901]) of a config, found together.
//!
//! [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901

use std::collections::BTreeMap;

use super::json::{self, Json, Key};
use crate::json::Document;

/// Up to this many names are compared one by one.
const COMPARED_MAX: usize = 8;

/// A JSON pointer of [`Pointers`]; by default the whole document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) text: String,
    node: usize,
}

/// A tree of pointers: payloads are read once for all of them, and no deeper than any of them leads.
#[derive(Debug)]
pub(super) struct Pointers {
    /// The whole document first, and whatever holds a part before the part.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Sorted, the short ones first: few have to be compared byte by byte.
    names: Vec<(String, usize)>,
    numbers: BTreeMap<usize, usize>,
}

impl Node {
    /// Where `name` is among the names, or belongs.
    fn search(&self, name: &str) -> Result<usize, usize> {
        let order = |known: &str| known.len().cmp(&name.len()).then_with(|| known.cmp(name));
        self.names.binary_search_by(|(known, _)| order(known))
    }

    fn named(&self, name: &str) -> Option<usize> {
        // Among few, looking at each length is faster than finding the middle.
        let place = match self.names.len() {
            ..=COMPARED_MAX => self.names.iter().position(|(known, _)| known == name)?,
            _ => self.search(name).ok()?,
        };
        self.names.get(place).map(|(_, child)| *child)
    }
}

/// The values that the pointers of one payload lead to.
#[derive(Debug, Default)]
pub(super) struct Found<'a>(Vec<Option<Json<'a>>>);

impl<'a> Found<'a> {
    /// The value that `pointer` leads to, if there is one.
    pub(super) fn get(&self, pointer: &Pointer) -> Option<Json<'a>> {
        self.0.get(pointer.node).copied().flatten()
    }
}

impl Default for Pointers {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Pointers {
    /// Takes up a pointer.
    ///
    /// # Errors
    /// What is wrong with a text that is no pointer.
    pub(super) fn add(&mut self, text: &str) -> Result<Pointer, String> {
        let mut node = 0;
        for token in tokens(text)? {
            let (next, known) = (self.nodes.len(), &mut self.nodes[node]);
            node = match known.search(&token) {
                Ok(place) => known.names[place].1,
                Err(place) => {
                    if let Some(number) = array_index(&token) {
                        known.numbers.insert(number, next);
                    }
                    known.names.insert(place, (token, next));
                    self.nodes.push(Node::default());
                    next
                }
            };
        }
        Ok(Pointer { text: text.to_owned(), node })
    }

    /// Looks all pointers up in `json`, which is of `document`. Of a repeated key the last counts.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(super) fn find<'a>(
        &self,
        json: Json<'a>,
        document: &Document<'a>,
        found: &mut Found<'a>,
    ) -> Result<(), serde_json::Error> {
        found.0.clear();
        found.0.resize(self.nodes.len(), None);
        found.0[0] = Some(json);
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(value) = found.0[index] else { continue };
            if index > 0 && node.names.is_empty() {
                continue;
            }
            json::for_each(value, document, |key, part| {
                let child = match key {
                    Key::Name(name) => node.named(&name),
                    Key::Number(number) => node.numbers.get(&number).copied(),
                };
                if let Some(child) = child {
                    found.0[child] = Some(part);
                }
            })?;
        }
        Ok(())
    }
}

/// `pointer` and one more token.
pub(super) fn join(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// What a token stands for.
pub(super) fn unescaped(token: &str) -> String {
    // In this order, so that `~01` is `~1`.
    token.replace("~1", "/").replace("~0", "~")
}

fn tokens(pointer: &str) -> Result<Vec<String>, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let path = pointer.strip_prefix('/').ok_or_else(|| {
        format!("{pointer:?} is no JSON pointer: it must begin with `/`, as `/{pointer}`, or be empty for the whole payload")
    })?;
    path.split('/')
        .map(|token| {
            let escapes = token.split('~').skip(1).all(|tail| tail.starts_with(['0', '1']));
            escapes.then(|| unescaped(token)).ok_or_else(|| {
                format!("{pointer:?} is no JSON pointer: write `~0` for `~`, and `~1` for `/` in a name")
            })
        })
        .collect()
}

fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || token.starts_with(|first: char| ('1'..='9').contains(&first));
    canonical.then(|| token.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn find(document: &str, pointers: &[&str]) -> Vec<Option<String>> {
        let mut tree = Pointers::default();
        let pointers: Vec<_> = pointers.iter().map(|pointer| tree.add(pointer).unwrap()).collect();
        let (mut found, mut room) = (Found::default(), Document::default());
        tree.find(json::whole(document, &mut room), &room, &mut found).unwrap();
        pointers.iter().map(|pointer| found.get(pointer).map(|json| json.text.to_owned())).collect()
    }

    #[track_caller]
    fn check(document: &str, pointer: &str, expected: Option<&str>) {
        assert_eq!(find(document, &[pointer]), [expected.map(str::to_owned)], "{pointer} in {document}");
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let document =
            r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        for (pointer, expected) in [
            ("", document),
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            check(document, pointer, Some(expected));
        }
    }

    #[test]
    fn a_pointer_may_lead_nowhere() {
        for (document, pointer) in [
            ("{}", "/a"),
            ("1", "/a"),
            (r#"{"a":1}"#, "/a/b"),
            (r#"{"a":"b"}"#, "/a/0"),
            ("[1]", "/1"),
            ("[1,2]", "/01"),
            ("[1]", "/-"),
            ("[1]", "/99999999999999999999"),
        ] {
            check(document, pointer, None);
        }
        check(r#"{"01":1}"#, "/01", Some("1"));
        check(r#"{"0":1}"#, "/0", Some("1"));
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        check(r#"{"a":1,"a": 2 }"#, "/a", Some("2"));
        check(r#"{"a":{"b":1},"a":{}}"#, "/a/b", None);
        check(r#"{"\u0061":1}"#, "/a", Some("1"));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for (text, message) in [("a", "as `/a`"), ("/a~", "`~0`"), ("/~2", "`~0`")] {
            let error = Pointers::default().add(text).unwrap_err();
            assert!(error.contains(message) && error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "{}{}", "nul", r#"{"a":}"#, "[1,]"] {
            let mut tree = Pointers::default();
            tree.add("/a").unwrap();
            let mut document = Document::default();
            let json = json::whole(text, &mut document);
            assert!(tree.find(json, &document, &mut Found::default()).is_err(), "{text}");
        }
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab0~/]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_those_of_the_tree(
            document in document(),
            pointers in prop::collection::vec("(/([ab02]|~0|~1)){0,3}", 1..5),
        ) {
            let texts: Vec<&str> = pointers.iter().map(String::as_str).collect();
            for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
                for (pointer, found) in pointers.iter().zip(find(&text, &texts)) {
                    let found = found.map(|json| serde_json::from_str::<Value>(&json).unwrap());
                    prop_assert_eq!(found.as_ref(), document.pointer(pointer), "{} in {}", pointer, text);
                }
            }
        }
    }
}
