//! The JSON pointers ([RFC 6901]) of a config, found together.
//!
//! [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901

use std::collections::BTreeMap;

use super::json::{self, Json, Key};

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
    names: BTreeMap<String, usize>,
    numbers: BTreeMap<usize, usize>,
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
            let child = *known.names.entry(token).or_insert_with_key(|token| {
                if let Some(number) = array_index(token) {
                    known.numbers.insert(number, next);
                }
                next
            });
            if child == next {
                self.nodes.push(Node::default());
            }
            node = child;
        }
        Ok(Pointer { text: text.to_owned(), node })
    }

    /// Looks all pointers up in `document`. Of a repeated key the last counts.
    ///
    /// # Errors
    /// When the document is no JSON.
    pub(super) fn find<'a>(&self, document: &'a str, found: &mut Found<'a>) -> Result<(), serde_json::Error> {
        found.0.clear();
        found.0.resize(self.nodes.len(), None);
        found.0[0] = Some(document.trim_ascii());
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(value) = found.0[index] else { continue };
            if index > 0 && node.names.is_empty() {
                continue;
            }
            json::for_each(value, |key, part| {
                let child = match key {
                    Key::Name(name) => node.names.get(name.as_ref()),
                    Key::Number(number) => node.numbers.get(&number),
                };
                if let Some(child) = child {
                    found.0[*child] = Some(part);
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
            // In this order, so that `~01` is `~1`.
            let unescaped = || token.replace("~1", "/").replace("~0", "~");
            escapes.then(unescaped).ok_or_else(|| {
                format!("{pointer:?} is no JSON pointer: write `~0` for `~`, and `~1` for `/` in a name")
            })
        })
        .collect()
}

fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || token.starts_with(|first: char| ('1'..='9').contains(&first));
    canonical.then(|| token.parse().ok()).flatten()
}
