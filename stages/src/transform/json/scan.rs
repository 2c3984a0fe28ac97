//! Takes plain JSON apart: strings without escapes, and little nesting. That is what devices send, and it costs a third of what a
//! reader of all JSON does. Anything else is left to such a reader, errors too: what is taken apart here is JSON for certain.

use super::Json;

/// Values are looked through so many levels deep.
const DEPTH_MAX: u8 = 32;

/// Calls `each` with every name (of an array: none) and value of `json`, an object or an array. None if it is not plain; some may
/// have been told by then.
pub(super) fn parts<'a>(json: Json<'a>, each: impl FnMut(Option<&'a str>, Json<'a>)) -> Option<()> {
    let mut scan = Scan { text: json, place: 0 };
    scan.space();
    scan.container(DEPTH_MAX, each)?;
    scan.space();
    (scan.place == json.len()).then_some(())
}

struct Scan<'a> {
    text: &'a str,
    place: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    /// Goes on behind `wanted`, if it is next.
    fn eat(&mut self, wanted: u8) -> Option<()> {
        self.eats(wanted).then_some(())
    }

    fn eats(&mut self, wanted: u8) -> bool {
        let next = self.peek() == Some(wanted);
        self.place += usize::from(next);
        next
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.place += 1;
        }
    }

    fn container(&mut self, depth: u8, mut each: impl FnMut(Option<&'a str>, Json<'a>)) -> Option<()> {
        let named = self.peek()? == b'{';
        let (begin, end) = if named { (b'{', b'}') } else { (b'[', b']') };
        self.eat(begin)?;
        self.space();
        if self.eats(end) {
            return Some(());
        }
        loop {
            let mut name = None;
            if named {
                name = Some(self.string()?);
                self.space();
                self.eat(b':')?;
                self.space();
            }
            each(name, self.value(depth)?);
            self.space();
            if self.eats(end) {
                return Some(());
            }
            self.eat(b',')?;
            self.space();
        }
    }

    fn value(&mut self, depth: u8) -> Option<Json<'a>> {
        let start = self.place;
        match self.peek()? {
            b'"' => drop(self.string()?),
            b'{' | b'[' => self.container(depth.checked_sub(1)?, |_, _| {})?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        self.text.get(start..self.place)
    }

    /// A string without its quotes; none if it has an escape.
    fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let rest = self.text.as_bytes().get(self.place..)?;
        let len = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
        let text = self.text.get(self.place..self.place + len)?;
        self.place += len;
        self.eat(b'"')?;
        Some(text)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let end = self.place + word.len();
        let next = self.text.as_bytes().get(self.place..end)? == word.as_bytes();
        self.place = end;
        next.then_some(())
    }

    fn number(&mut self) -> Option<()> {
        self.eats(b'-');
        if !self.eats(b'0') {
            self.digits()?;
        }
        if self.eats(b'.') {
            self.digits()?;
        }
        if self.eats(b'e') || self.eats(b'E') {
            let _signed = self.eats(b'+') || self.eats(b'-');
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.place;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.place += 1;
        }
        (self.place > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    type Parts = Vec<(Option<String>, String)>;

    fn plain(json: &str) -> Option<Parts> {
        let mut found = Vec::new();
        parts(json, |name, part| found.push((name.map(str::to_owned), part.to_owned())))?;
        Some(found)
    }

    /// What serde_json finds.
    fn expected(json: &str) -> Option<Parts> {
        let mut found = Vec::new();
        let each = |key: super::super::Key<'_>, part: &str| {
            let name = match key {
                super::super::Key::Name(name) => Some(name.into_owned()),
                super::super::Key::Number(_) => None,
            };
            found.push((name, part.to_owned()));
        };
        super::super::every(json, each).ok()?;
        json.trim_ascii().starts_with(['{', '[']).then_some(found)
    }

    #[test]
    fn what_devices_send_is_plain() {
        for json in [
            r#"{"device_id":"d","ts":"2024-01-01T00:00:00Z","seq":1,"metrics":{"a":-1.5e-3,"b":true,"c":[1, 2]}}"#,
            " { \"a\" : null , \"b\":false } ",
            "[]",
            "{}",
            "[[],{},0,-0,10.25,\"ö\"]",
        ] {
            assert!(plain(json).is_some(), "{json}");
            assert_eq!(plain(json), expected(json), "{json}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        for json in
            ["", "1", r#"["\n"]"#, r#"{"\u0061":1}"#, "[01]", "[1.]", "[+1]", "[1,]", "[tru]", "[]]", &deep]
        {
            assert_eq!(plain(json), None, "{json}");
        }
    }

    /// Texts of what JSON is made of, most of them wrong.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"b\"",
            "0",
            "1",
            "-",
            ".",
            "e",
            "E+",
            "true",
            "null",
            "fals",
            " ",
            "\n",
            "\u{b}",
            "\\",
            "\\u00",
            "\u{1}",
            "ö",
            "[1,2]",
            "{\"a\":1}",
            "\"a\":1",
            ",\"b\":-2.5e3",
        ]);
        let inner = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
        let around =
            prop::sample::select(vec![("", ""), ("{", "}"), ("[", "]"), ("{\"a\":1", "}"), ("[0", "]")]);
        (around, inner).prop_map(|((begin, end), inner)| format!("{begin}{inner}{end}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn what_is_taken_apart_is_what_serde_json_finds(json in texts()) {
            if let Some(found) = plain(&json) {
                prop_assert_eq!(Some(found), expected(&json), "{}", json);
            }
        }

        #[test]
        fn numbers_are_those_of_serde_json(number in "-?[0-9]{0,3}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?") {
            let sound = serde_json::from_str::<&RawValue>(&number).is_ok();
            prop_assert_eq!(plain(&format!("[{number}]")).is_some(), sound || number.is_empty(), "{}", number);
        }
    }
}
