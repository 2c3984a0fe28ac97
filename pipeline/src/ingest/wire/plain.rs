//! The packet that nearly all are, read where it lies: a PUBLISH of QoS 1 without properties, whole and in order.
//!
//! Everything else is for the state machine, which takes a packet apart into pieces of memory of its own. So what is
//! not known to be right here is not wrong: it is left to be judged there.

use std::str;

use mqtt_protocol_core::mqtt::Version;

/// A PUBLISH of QoS 1.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ingest) struct Plain<'a> {
    pub(in crate::ingest) packet_id: u16,
    pub(in crate::ingest) topic: &'a str,
    pub(in crate::ingest) payload: &'a [u8],
}

/// The type PUBLISH with QoS 1, without the bits DUP and RETAIN, which change nothing here.
const PUBLISH_QOS_1: u8 = 0x32;
const DUP_AND_RETAIN: u8 = 0x09;

impl<'a> Plain<'a> {
    /// The packet that `bytes` begin with and how long it is, if it is such a one, of at most `bytes_max`.
    pub(super) fn parse(bytes: &'a [u8], version: Version, bytes_max: u32) -> Option<(Self, usize)> {
        let (&first, rest) = bytes.split_first()?;
        if first & !DUP_AND_RETAIN != PUBLISH_QOS_1 {
            return None;
        }
        let (length, rest) = remaining_length(rest)?;
        let body = rest.get(..length)?;
        let whole = bytes.len() - rest.len() + length;
        if whole > bytes_max as usize {
            return None;
        }
        let (topic, rest) = body.split_at_checked(2)?;
        let (topic, rest) = rest.split_at_checked(usize::from(number(topic)?))?;
        let (packet_id, rest) = rest.split_at_checked(2)?;
        let packet_id = number(packet_id).filter(|id| *id > 0)?;
        let payload = match version {
            Version::V3_1_1 => rest,
            // No properties.
            Version::V5_0 => rest.strip_prefix(&[0])?,
            Version::Undetermined => return None,
        };
        // An empty topic stands for an alias.
        let topic = str::from_utf8(topic).ok().filter(|topic| !topic.is_empty())?;
        Some((Self { packet_id, topic, payload }, whole))
    }
}

fn number(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_be_bytes)
}

/// A variable byte integer in the fewest bytes that hold it (MQTT 5.0, 1.5.5), and what comes behind.
fn remaining_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (index == 0 || byte > 0).then(|| (length, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use mqtt_protocol_core::mqtt::{
        common::Arc,
        packet::{Qos, v3_1_1, v5_0},
    };
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const MAX: u32 = 1 << 20;

    fn plain(bytes: &[u8], version: Version) -> Option<(Plain<'_>, usize)> {
        Plain::parse(bytes, version, MAX)
    }

    proptest! {
        #[test]
        fn what_it_reads_is_what_was_written(
            topic in "[a-zé/]{1,300}", packet_id in 1_u16.., payload in vec(any::<u8>(), 0..400), retain: bool,
        ) {
            let old = v3_1_1::Publish::builder().topic_name(&topic).unwrap().qos(Qos::AtLeastOnce)
                .packet_id(packet_id).retain(retain).payload(payload.clone()).build().unwrap();
            let new = v5_0::Publish::builder().topic_name(&topic).unwrap().qos(Qos::AtLeastOnce)
                .packet_id(packet_id).retain(retain).payload(payload.clone()).build().unwrap();
            for (version, mut bytes) in
                [(Version::V3_1_1, old.to_continuous_buffer()), (Version::V5_0, new.to_continuous_buffer())]
            {
                let whole = bytes.len();
                for cut in 0..whole {
                    prop_assert_eq!(plain(&bytes[..cut], version), None, "cut off at {}", cut);
                }
                bytes.extend([0x32, 7]);
                let read = Plain { packet_id, topic: &topic, payload: &payload };
                prop_assert_eq!(plain(&bytes, version), Some((read, whole)));
                prop_assert_eq!(Plain::parse(&bytes, version, whole as u32 - 1), None);
            }
        }

        #[test]
        fn what_it_takes_the_state_machine_takes_alike(
            few in vec(0_u8..6, 0..12),
            topic in vec(prop_oneof![4 => 0x20_u8..0x7f, 1 => any::<u8>()], 0..9),
            rest in vec(0_u8..3, 0..200),
            shaped: bool,
            version in 0..2,
        ) {
            let version = [Version::V3_1_1, Version::V5_0][version as usize];
            let body = if shaped { [&[0, topic.len() as u8], &topic[..], &rest].concat() } else { few };
            let length = match u8::try_from(body.len()) {
                Ok(length @ ..0x80) => vec![length],
                _ => vec![(body.len() % 0x80) as u8 | 0x80, (body.len() / 0x80) as u8],
            };
            let bytes = [&[0x32], &length[..], &body].concat();
            let Some((read, whole)) = plain(&bytes, version) else { return Ok(()) };
            prop_assert_eq!(whole, bytes.len());
            let body: Arc<[u8]> = body.into();
            let (topic, id, payload) = match version {
                Version::V5_0 => {
                    let (packet, _) = v5_0::Publish::parse(2, body).unwrap();
                    prop_assert!(packet.props().is_empty());
                    (packet.topic_name().to_owned(), packet.packet_id(), packet.payload().as_slice().to_vec())
                }
                _ => {
                    let (packet, _) = v3_1_1::Publish::parse(2, body).unwrap();
                    (packet.topic_name().to_owned(), packet.packet_id(), packet.payload().as_slice().to_vec())
                }
            };
            prop_assert_eq!((read.topic, Some(read.packet_id), read.payload), (&topic[..], id, &payload[..]));
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_state_machine() {
        let cases: &[(&str, &[u8])] = &[
            ("QoS 0", &[0x30, 5, 0, 1, b'a', 0, b'1']),
            ("QoS 2", &[0x34, 7, 0, 1, b'a', 0, 1, 0, b'1']),
            ("another type", &[0x42, 7, 0, 1, b'a', 0, 1, 0, b'1']),
            ("an alias", &[0x32, 8, 0, 0, 0, 1, 3, 0x23, 0, 1]),
            ("properties", &[0x32, 8, 0, 1, b'a', 0, 1, 2, 1, 1]),
            ("packet id 0", &[0x32, 7, 0, 1, b'a', 0, 0, 0, b'1']),
            ("no properties where there must be a length of them", &[0x32, 5, 0, 1, b'a', 0, 1]),
            ("no UTF-8", &[0x32, 7, 0, 1, 0xff, 0, 1, 0, b'1']),
            ("a topic beyond the end", &[0x32, 7, 0, 9, b'a', 0, 1, 0, b'1']),
            ("a length in more bytes than it needs", &[0x32, 0x87, 0, 0, 1, b'a', 0, 1, 0, b'1']),
        ];
        for (case, bytes) in cases {
            assert_eq!(plain(bytes, Version::V5_0), None, "{case}");
        }
        assert!(
            plain(&[0x3b, 7, 0, 1, b'a', 0, 1, 0, b'1'], Version::V5_0).is_some(),
            "sent again, retained"
        );
    }
}
