//! Messages that others than Millstream send to `validate`: `{"topic": …, "payload": …}`, or the payload alone.

use serde::Deserialize;
use serde_json::value::RawValue;
use stages::frame::{FrameId, Header, Kind, Lane, Message, MessagesBuilder, Micros};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{message::Incoming, options::SqsOptions};
use crate::{ingest::lane_of, queue::EncodedFrame};

/// Numbers of messages from there on are no epoch's of ingest.
const NUMBERS: u64 = 1 << 63;
/// Below the epoch in a message's number.
const COUNTER_BITS: u32 = 40;

#[derive(Deserialize)]
struct Plain<'a> {
    topic: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(default)]
    client_id: String,
}

/// The id of the frame that a message becomes, whenever it is received.
pub(super) fn id(message: &str) -> FrameId {
    FrameId(xxh3_128(message.as_bytes()).to_be_bytes())
}

/// The frame of one message, and when that was sent.
///
/// # Errors
/// What is wrong with it.
pub(super) fn frame(message: Incoming<'_>, options: &SqsOptions) -> Result<(EncodedFrame, Micros), String> {
    let sent_at = message.sent_at();
    Ok((of(message.id(), message.body(), sent_at, options)?, sent_at))
}

fn of(message: &str, body: &str, sent_at: Micros, options: &SqsOptions) -> Result<EncodedFrame, String> {
    let text: String;
    let (topic, payload, client_id) = match &options.plain_topic {
        Some(topic) => (topic.clone(), body, String::new()),
        None => {
            let wrong = |error| format!("its body is not {{\"topic\": …, \"payload\": …}}: {error}");
            let Plain { topic, payload, client_id } = serde_json::from_str(body).map_err(wrong)?;
            // Text is what a payload that is no JSON comes as.
            text = serde_json::from_str(payload.get()).unwrap_or_else(|_| payload.get().to_owned());
            (topic, text.as_str(), client_id)
        }
    };
    let number = NUMBERS | xxh3_64(message.as_bytes()) >> 1;
    let lane =
        lane_of(&options.topics, &topic, options.lanes).unwrap_or_else(|| Lane::of(&topic, options.lanes));
    let mut rows = MessagesBuilder::default();
    rows.append(&Message {
        message: number,
        topic: &topic,
        payload: payload.as_bytes(),
        received_at: sent_at,
        client_id: &client_id,
        properties: &[],
        replays: 0,
    });
    let header = Header {
        id: id(message),
        kind: Kind::Messages,
        lane,
        created_at: sent_at,
        epoch: number >> COUNTER_BITS,
        trace: None,
    };
    let frame = rows.finish(header).and_then(|frame| EncodedFrame::of(&frame));
    frame.map_err(|error| format!("no frame can be made of it: {error}"))
}

#[cfg(test)]
mod tests {
    use stages::{
        frame::Messages,
        topic::{Pattern, Topics},
    };

    use super::*;

    fn options(plain_topic: Option<&str>) -> SqsOptions {
        let topics = Topics::new(vec!["d/{device}".parse::<Pattern>().unwrap()]).into();
        SqsOptions { topics, plain_topic: plain_topic.map(str::to_owned), lanes: 8, ..SqsOptions::default() }
    }

    fn check(body: &str, plain_topic: Option<&str>, topic: &str, payload: &str) {
        let made = of("m-1", body, 5000, &options(plain_topic)).unwrap();
        let frame = made.bytes.frame().unwrap();
        let messages = Messages::of(&frame).unwrap();
        let row = (messages.topics().get(0).unwrap(), std::str::from_utf8(messages.payload(0)).unwrap());
        assert_eq!(row, (topic, payload), "of {body}");
        assert_eq!((messages.received_at(0), messages.message(0) >> 63, made.rows), (5000, 1, 1));
        assert_eq!(of("m-1", body, 5000, &options(plain_topic)).unwrap(), made, "whenever it is received");
    }

    #[test]
    fn a_plain_body_is_a_message() {
        check(r#"{"topic": "d/1", "payload": {"a":  1.50}}"#, None, "d/1", r#"{"a":  1.50}"#);
        check(r#"{"payload": "21,5\n", "topic": "d/1", "clock": 7}"#, None, "d/1", "21,5\n");
        check(r#"{"topic": "d/1", "payload": null}"#, None, "d/1", "null");
        check(r#"{"topic": "x"}"#, Some("d/2"), "d/2", r#"{"topic": "x"}"#);
        check("no JSON", Some("d/2"), "d/2", "no JSON");
    }

    #[test]
    fn the_lane_is_that_of_the_device() {
        let body = r#"{"topic": "d/pump-7", "payload": 1}"#;
        let made = of("m-1", body, 0, &options(None)).unwrap();
        assert_eq!(made.lane, Lane::of("pump-7", 8));
    }

    #[test]
    fn what_is_no_such_body_is_told() {
        for (body, said) in [
            ("", "EOF while parsing"),
            ("{}", "missing field `topic`"),
            (r#"{"topic": 5, "payload": 1}"#, "invalid type"),
            (r#"{"topic": "a"}"#, "missing field `payload`"),
        ] {
            let reason = of("m-1", body, 0, &options(None)).unwrap_err();
            assert!(reason.contains(said), "{reason}");
        }
    }
}
