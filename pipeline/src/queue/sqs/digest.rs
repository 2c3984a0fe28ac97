//! The MD5 by which SQS tells what it has, as its developer guide defines it ("Calculating the MD5 message digest for
//! message attributes").

use std::fmt::Write;

use md5::{Digest, Md5};

use super::message::{Attributes, DATA_TYPE};

/// How a value is sent: as text.
const TEXT: [u8; 1] = [1];

/// Of a body.
pub(super) fn of_body(body: &str) -> String {
    hex(Md5::digest(body).as_slice())
}

/// Of attributes, all of them text: by name, each name, type and value with its length before it.
pub(super) fn of_attributes(attributes: &Attributes) -> String {
    let mut all = Md5::new();
    for (name, value) in attributes {
        add(&mut all, name);
        add(&mut all, DATA_TYPE);
        all.update(TEXT);
        add(&mut all, value);
    }
    hex(all.finalize().as_slice())
}

fn add(all: &mut Md5, text: &str) {
    all.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    all.update(text);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to text does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_digest_of_rfc_1321() {
        assert_eq!(of_body("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn attributes_have_the_digest_that_other_clients_compute() {
        // The example of the npm package aws-md5-of-message-attributes.
        let attributes = Attributes::from([("attribName1", "attribValue 1".to_owned())]);
        assert_eq!(of_attributes(&attributes), "19e27d4e946b072f3f58da80d94fd778");
    }
}
