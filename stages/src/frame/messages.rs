//! *messages*: MQTT messages as they came.

use std::sync::Arc;

use arrow_array::{
    Array, BinaryArray, MapArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    UInt64Array,
    builder::{
        BinaryBuilder, MapBuilder, MapFieldNames, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder,
        UInt64Builder,
    },
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, Field, Schema};

use super::{
    Frame, FrameError, Header, Kind, Micros,
    columns::{self, Columns, Repeated, Strings},
};

/// Key and value of each MQTT 5 property that is kept, in the order given; keys may repeat.
pub type Properties = Vec<(String, String)>;

/// One MQTT PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Message<'a> {
    /// Unique in the data directory: the ingest epoch in the upper 24 bits, counted in the lower 40.
    pub message: u64,
    /// The topic it was published to.
    pub topic: &'a str,
    /// The payload, byte for byte.
    pub payload: &'a [u8],
    /// When ingest took it.
    pub received_at: Micros,
    /// Who published it, as MQTT names the client.
    pub client_id: &'a str,
    /// Its MQTT 5 properties.
    pub properties: &'a [(String, String)],
    /// How often it came back from the quarantine: 0 as a device sent it.
    pub replays: u32,
}

/// Collects messages, column by column, into a frame.
pub struct MessagesBuilder {
    message: UInt64Builder,
    topic: Repeated,
    payload: BinaryBuilder,
    received_at: TimestampMicrosecondBuilder,
    client_id: Repeated,
    properties: MapBuilder<StringBuilder, StringBuilder>,
    replays: UInt32Builder,
    bytes: usize,
}

impl Default for MessagesBuilder {
    fn default() -> Self {
        Self {
            message: UInt64Builder::new(),
            topic: Repeated::new(),
            payload: BinaryBuilder::new(),
            received_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            client_id: Repeated::new(),
            properties: properties_builder(),
            replays: UInt32Builder::new(),
            bytes: 0,
        }
    }
}

impl MessagesBuilder {
    /// Adds a row.
    pub fn append(&mut self, row: &Message<'_>) {
        self.message.append_value(row.message);
        self.topic.append_value(row.topic);
        self.payload.append_value(row.payload);
        self.received_at.append_value(row.received_at);
        self.client_id.append_value(row.client_id);
        append_properties(&mut self.properties, row.properties);
        self.replays.append_value(row.replays);
        self.bytes += row.payload.len() + ROW_BYTES;
        self.bytes +=
            row.properties.iter().map(|(key, value)| key.len() + value.len() + PROPERTY_BYTES).sum::<usize>();
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.message.values_slice().len()
    }

    /// About how many bytes the rows take before compression.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frame of all rows so far; the builder is empty again.
    ///
    /// # Errors
    /// Never for rows that [`MessagesBuilder::append`] took; Arrow checks the lengths of columns.
    pub fn finish(&mut self, header: Header) -> Result<Frame, FrameError> {
        self.bytes = 0;
        let topic = self.topic.finish();
        let rows = self.message.values_slice().len();
        let unchecked = || {
            let mut column = Repeated::new();
            column.append_nulls(rows);
            Arc::new(column.finish())
        };
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(self.message.finish()),
            Arc::new(topic),
            Arc::new(self.payload.finish()),
            Arc::new(self.received_at.finish()),
            Arc::new(self.client_id.finish()),
            Arc::new(self.properties.finish()),
            unchecked(),
            unchecked(),
            Arc::new(self.replays.finish()),
        ];
        Ok(Frame { header, rows: RecordBatch::try_new(Arc::new(schema_of_messages()), columns)? })
    }
}

/// What a row takes beside payload and properties: its number, its time, its replays, and its share of topic and client.
const ROW_BYTES: usize = 44;

/// What a property takes beside its text.
const PROPERTY_BYTES: usize = 48;

pub(super) fn schema_of_messages() -> Schema {
    Schema::new(vec![
        Field::new("message", DataType::UInt64, false),
        columns::repeated("topic", false),
        Field::new("payload", DataType::Binary, false),
        columns::instant("received_at"),
        columns::repeated("client_id", false),
        columns::properties("properties"),
        columns::repeated("schema", true),
        columns::repeated("schema_version", true),
        Field::new("replays", DataType::UInt32, false),
    ])
}

/// The rows of a *messages* frame.
#[derive(Debug)]
pub struct Messages<'a> {
    message: &'a UInt64Array,
    topic: Strings<'a>,
    payload: &'a BinaryArray,
    received_at: &'a TimestampMicrosecondArray,
    client_id: Strings<'a>,
    properties: &'a MapArray,
    schema: Strings<'a>,
    schema_version: Strings<'a>,
    replays: &'a UInt32Array,
}

impl<'a> Messages<'a> {
    /// # Errors
    /// When the frame is of another kind or lacks a column.
    pub fn of(frame: &'a Frame) -> Result<Self, FrameError> {
        let columns = Columns::of(frame, Kind::Messages)?;
        Ok(Self {
            message: columns.get("message")?,
            topic: columns.strings("topic")?,
            payload: columns.get("payload")?,
            received_at: columns.get("received_at")?,
            client_id: columns.strings("client_id")?,
            properties: columns.get("properties")?,
            schema: columns.strings("schema")?,
            schema_version: columns.strings("schema_version")?,
            replays: columns.get("replays")?,
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.message.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.message.is_empty()
    }

    /// [`Message::message`] of `row`.
    pub fn message(&self, row: usize) -> u64 {
        self.message.value(row)
    }

    /// The topics; [`Strings::key`] finds what was worked out for one.
    pub fn topics(&self) -> Strings<'a> {
        self.topic
    }

    /// [`Message::payload`] of `row`.
    pub fn payload(&self, row: usize) -> &'a [u8] {
        self.payload.value(row)
    }

    /// [`Message::received_at`] of `row`.
    pub fn received_at(&self, row: usize) -> Micros {
        self.received_at.value(row)
    }

    /// [`Message::client_id`] of `row`.
    pub fn client_id(&self, row: usize) -> &'a str {
        self.client_id.get(row).unwrap_or_default()
    }

    /// [`Message::properties`] of `row`.
    pub fn properties(&self, row: usize) -> Properties {
        self.property_pairs(row).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// [`Messages::properties`], borrowed.
    pub fn property_pairs(&self, row: usize) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        property_pairs(self.properties, row)
    }

    /// The id of the schema that `row` was checked against, once it was.
    pub fn schema(&self, row: usize) -> Option<&'a str> {
        self.schema.get(row)
    }

    /// The version of that schema.
    pub fn schema_version(&self, row: usize) -> Option<&'a str> {
        self.schema_version.get(row)
    }

    /// [`Message::replays`] of `row`.
    pub fn replays(&self, row: usize) -> u32 {
        self.replays.value(row)
    }
}

/// The properties in `row` of their column.
pub(super) fn property_pairs<'a>(
    properties: &'a MapArray,
    row: usize,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let rows = if properties.is_null(row) {
        0..0
    } else {
        let offsets = properties.value_offsets();
        offsets[row].as_usize()..offsets[row + 1].as_usize()
    };
    let keys: Option<&StringArray> = properties.keys().as_any().downcast_ref();
    let values: Option<&StringArray> = properties.values().as_any().downcast_ref();
    let columns = keys.zip(values).filter(|_| !rows.is_empty());
    columns.into_iter().flat_map(move |(keys, values)| {
        let text =
            |column: &'a StringArray, entry| if column.is_valid(entry) { column.value(entry) } else { "" };
        rows.clone().map(move |entry| (text(keys, entry), text(values, entry)))
    })
}

pub(super) fn properties_builder() -> MapBuilder<StringBuilder, StringBuilder> {
    let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

pub(super) fn append_properties(
    builder: &mut MapBuilder<StringBuilder, StringBuilder>,
    pairs: &[(String, String)],
) {
    for (key, value) in pairs {
        builder.keys().append_value(key);
        builder.values().append_value(value);
    }
    // Keys and values grow together above, which is all that Arrow checks here.
    let _lengths_agree = builder.append(!pairs.is_empty());
}
