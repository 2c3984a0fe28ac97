//! Bytes as text ([RFC 4648](https://www.rfc-editor.org/rfc/rfc4648)).

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// Section 5, without padding.
    Base64Url,
    /// Section 4, with padding.
    Base64,
    /// Section 8.
    Base16,
}

impl Base {
    /// Appends `bytes` to `out`; none of the characters needs an escape in JSON.
    pub(super) fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Base64Url => sixes(bytes, b'-', b'_', false, out),
            Self::Base64 => sixes(bytes, b'+', b'/', true, out),
            Self::Base16 => out.extend(bytes.iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)])),
        }
    }
}

/// Three bytes as four characters of six bits each.
fn sixes(bytes: &[u8], at_62: u8, at_63: u8, padded: bool, out: &mut Vec<u8>) {
    let character = |six: u32| match six.to_le_bytes()[0] & 63 {
        letter @ 0..=25 => b'A' + letter,
        letter @ 26..=51 => b'a' + letter - 26,
        digit @ 52..=61 => b'0' + digit - 52,
        62 => at_62,
        _ => at_63,
    };
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            if place <= three.len() {
                out.push(character(bits >> (18 - 6 * place)));
            } else if padded {
                out.push(b'=');
            }
        }
    }
}

fn hex(four: u8) -> u8 {
    if four < 10 { b'0' + four } else { b'A' + four - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4648_section_10() {
        for (bytes, base64, base16) in [
            ("", "", ""),
            ("f", "Zg==", "66"),
            ("fo", "Zm8=", "666F"),
            ("foo", "Zm9v", "666F6F"),
            ("foob", "Zm9vYg==", "666F6F62"),
            ("fooba", "Zm9vYmE=", "666F6F6261"),
            ("foobar", "Zm9vYmFy", "666F6F626172"),
        ] {
            let text = |base: Base| {
                let mut out = Vec::new();
                base.write(bytes.as_bytes(), &mut out);
                String::from_utf8(out).unwrap()
            };
            assert_eq!(text(Base::Base64), base64);
            assert_eq!(text(Base::Base64Url), base64.trim_end_matches('='));
            assert_eq!(text(Base::Base16), base16);
        }
    }

    #[test]
    fn the_last_two_characters_tell_the_alphabets_apart() {
        let text = |base: Base| {
            let mut out = Vec::new();
            base.write(&[0xfb, 0xff], &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!((text(Base::Base64), text(Base::Base64Url)), ("+/8=".into(), "-_8".into()));
    }
}
