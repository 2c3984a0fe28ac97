//! JSON pointers ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)): how parts of a config are named
//! between its checks, and how people are told of them.

/// The unescaped parts of a pointer.
pub(super) fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// The pointer to a member of what `pointer` names.
pub(super) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The pointer to what holds what `pointer` names, and the last part; none for the whole.
pub(super) fn split(pointer: &str) -> Option<(&str, String)> {
    let (parent, _) = pointer.rsplit_once('/')?;
    Some((parent, tokens(&pointer[parent.len()..]).next()?))
}

/// As people write it: `topics[0].pattern`.
pub(super) fn spoken(pointer: &str) -> String {
    tokens(pointer).fold(String::new(), |mut spoken, token| {
        if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
            spoken.push_str(&format!("[{token}]"));
        } else {
            if !spoken.is_empty() {
                spoken.push('.');
            }
            spoken.push_str(&token);
        }
        spoken
    })
}
