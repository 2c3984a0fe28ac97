//! The MD5 by which SQS tells what it has, as its developer guide defines it ("Calculating the MD5 message digest for
//! message attributes").

use std::{collections::HashMap, fmt::Write};

use aws_sdk_sqs::types::MessageAttributeValue;
use md5::{Digest, Md5};

use super::message::{Attributes, DATA_TYPE};

/// How a value is sent: as text, or as bytes.
const TEXT: u8 = 1;
const BYTES: u8 = 2;

/// Of a body.
pub(super) fn of_body(body: &str) -> String {
    hex(Md5::digest(body).as_slice())
}

/// Of attributes, all of them text: by name, each name, type and value with its length before it.
pub(super) fn of_attributes(attributes: &Attributes) -> String {
    let mut all = Md5::new();
    for (name, value) in attributes {
        add_value(&mut all, (name, DATA_TYPE), TEXT, value.as_bytes());
    }
    hex(all.finalize().as_slice())
}

/// Of attributes as they came, also those of others, which may be of any type.
pub(super) fn of_received(attributes: &HashMap<String, MessageAttributeValue>) -> String {
    let mut all = Md5::new();
    let mut by_name: Vec<_> = attributes.iter().collect();
    by_name.sort_by_key(|(name, _)| *name);
    for (name, value) in by_name {
        let (sent_as, bytes) = match value.binary_value() {
            Some(bytes) => (BYTES, bytes.as_ref()),
            None => (TEXT, value.string_value().unwrap_or_default().as_bytes()),
        };
        add_value(&mut all, (name, value.data_type()), sent_as, bytes);
    }
    hex(all.finalize().as_slice())
}

fn add_value(all: &mut Md5, (name, data_type): (&str, &str), sent_as: u8, value: &[u8]) {
    add(all, name.as_bytes());
    add(all, data_type.as_bytes());
    all.update([sent_as]);
    add(all, value);
}

fn add(all: &mut Md5, bytes: &[u8]) {
    all.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    all.update(bytes);
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
    use aws_sdk_sqs::primitives::Blob;

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

    #[test]
    fn attributes_have_the_same_digest_as_they_went_and_as_they_came() {
        let value = |data_type: &str| MessageAttributeValue::builder().data_type(data_type);
        let text = |text: &str| value(DATA_TYPE).string_value(text).build().expect("whole");
        let went = Attributes::from([("lane", "3".to_owned()), ("frame", "00ff".to_owned())]);
        let mut came = HashMap::from([("frame".to_owned(), text("00ff")), ("lane".to_owned(), text("3"))]);
        assert_eq!(of_received(&came), of_attributes(&went));
        // A value that is bytes is another than the same as text.
        let bytes = value(DATA_TYPE).binary_value(Blob::new("3")).build().expect("whole");
        came.insert("lane".to_owned(), bytes);
        assert_ne!(of_received(&came), of_attributes(&went));
    }
}
