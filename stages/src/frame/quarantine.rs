//! *quarantine*: messages that a stage refused, with the original bytes and the reason.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
    builder::{
        BinaryBuilder, ListBuilder, MapBuilder, StringBuilder, StructBuilder, TimestampMicrosecondBuilder,
        UInt32Builder, UInt64Builder,
    },
};
use arrow_schema::{DataType, Field, Fields, Schema};

use super::{
    Frame, FrameError, Header, Kind, Micros,
    columns::{self, Columns, Repeated, Strings},
    messages::{Properties, append_properties, properties_builder, property_pairs},
};

/// One thing that is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the payload: a JSON pointer (RFC 6901), empty for the whole. A very long one is cut, and ends with `…`.
    pub pointer: String,
    /// Which rule it breaks: a JSON Schema keyword, or the config key of the stage.
    pub keyword: String,
    /// What is wrong, for people.
    pub message: String,
}

/// A refused message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refusal<'a> {
    /// [`Message::message`](super::Message::message).
    pub message: u64,
    /// The topic it was published to.
    pub topic: &'a str,
    /// The payload, byte for byte.
    pub payload: &'a [u8],
    /// When ingest took it.
    pub received_at: Micros,
    /// Who published it.
    pub client_id: &'a str,
    /// Its MQTT 5 properties.
    pub properties: &'a [(String, String)],
    /// The stage that refused it.
    pub stage: &'static str,
    /// Why, as one word of a fixed list.
    pub reason: &'static str,
    /// The id of the schema it was checked against.
    pub schema: Option<&'a str>,
    /// What is wrong, at most ten faults.
    pub errors: &'a [Fault],
    /// The version of that schema.
    pub schema_version: Option<&'a str>,
    /// [`Message::replays`](super::Message::replays).
    pub replays: u32,
}

/// Collects refused messages, column by column, into a frame.
pub struct QuarantineBuilder {
    message: UInt64Builder,
    topic: Repeated,
    payload: BinaryBuilder,
    received_at: TimestampMicrosecondBuilder,
    client_id: Repeated,
    properties: MapBuilder<StringBuilder, StringBuilder>,
    stage: Repeated,
    reason: Repeated,
    schema: Repeated,
    errors: ListBuilder<StructBuilder>,
    schema_version: Repeated,
    replays: UInt32Builder,
}

impl Default for QuarantineBuilder {
    fn default() -> Self {
        let errors = StructBuilder::from_fields(fault_fields(), 0);
        Self {
            message: UInt64Builder::new(),
            topic: Repeated::new(),
            payload: BinaryBuilder::new(),
            received_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            client_id: Repeated::new(),
            properties: properties_builder(),
            stage: Repeated::new(),
            reason: Repeated::new(),
            schema: Repeated::new(),
            errors: ListBuilder::new(errors).with_field(error_field()),
            schema_version: Repeated::new(),
            replays: UInt32Builder::new(),
        }
    }
}

impl QuarantineBuilder {
    /// Adds a row.
    pub fn append(&mut self, row: &Refusal<'_>) {
        self.message.append_value(row.message);
        self.topic.append_value(row.topic);
        self.payload.append_value(row.payload);
        self.received_at.append_value(row.received_at);
        self.client_id.append_value(row.client_id);
        append_properties(&mut self.properties, row.properties);
        self.stage.append_value(row.stage);
        self.reason.append_value(row.reason);
        self.schema.append_option(row.schema);
        for fault in row.errors {
            self.append_fault(fault);
        }
        self.errors.append(true);
        self.schema_version.append_option(row.schema_version);
        self.replays.append_value(row.replays);
    }

    fn append_fault(&mut self, fault: &Fault) {
        let entry = self.errors.values();
        for (index, text) in [&fault.pointer, &fault.keyword, &fault.message].into_iter().enumerate() {
            if let Some(column) = entry.field_builder::<StringBuilder>(index) {
                column.append_value(text);
            }
        }
        entry.append(true);
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.message.values_slice().len()
    }

    /// The frame of all rows so far; the builder is empty again.
    ///
    /// # Errors
    /// Never for rows that [`QuarantineBuilder::append`] took; Arrow checks the lengths of columns.
    pub fn finish(&mut self, header: Header) -> Result<Frame, FrameError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.message.finish()),
            Arc::new(self.topic.finish()),
            Arc::new(self.payload.finish()),
            Arc::new(self.received_at.finish()),
            Arc::new(self.client_id.finish()),
            Arc::new(self.properties.finish()),
            Arc::new(self.stage.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.schema.finish()),
            Arc::new(self.errors.finish()),
            Arc::new(self.schema_version.finish()),
            Arc::new(self.replays.finish()),
        ];
        Ok(Frame { header, rows: RecordBatch::try_new(Arc::new(schema_of_quarantine()), columns)? })
    }
}

fn fault_fields() -> Fields {
    ["pointer", "keyword", "message"]
        .map(|name| Field::new(name, DataType::Utf8, false))
        .into_iter()
        .collect()
}

fn error_field() -> Field {
    Field::new("item", DataType::Struct(fault_fields()), false)
}

pub(super) fn schema_of_quarantine() -> Schema {
    Schema::new(vec![
        Field::new("message", DataType::UInt64, false),
        columns::repeated("topic", false),
        Field::new("payload", DataType::Binary, false),
        columns::instant("received_at"),
        columns::repeated("client_id", false),
        columns::properties("properties"),
        columns::repeated("stage", false),
        columns::repeated("reason", false),
        columns::repeated("schema", true),
        Field::new("errors", DataType::List(Arc::new(error_field())), false),
        columns::repeated("schema_version", true),
        Field::new("replays", DataType::UInt32, false),
    ])
}

/// Rows of the lake as those of a *quarantine* frame: what an older version of this program did not write yet, and what
/// was not asked for, is empty.
///
/// # Errors
/// When a column cannot be made, which no documented one is.
pub fn complete(rows: &RecordBatch) -> Result<RecordBatch, FrameError> {
    columns::complete(rows, &schema_of_quarantine())
}

/// The rows of a *quarantine* frame.
#[derive(Debug)]
pub struct Quarantine<'a> {
    message: &'a UInt64Array,
    topic: Strings<'a>,
    payload: &'a BinaryArray,
    received_at: &'a TimestampMicrosecondArray,
    client_id: Strings<'a>,
    properties: &'a MapArray,
    stage: Strings<'a>,
    reason: Strings<'a>,
    schema: Strings<'a>,
    errors: &'a ListArray,
    schema_version: Strings<'a>,
    replays: &'a UInt32Array,
}

impl<'a> Quarantine<'a> {
    /// # Errors
    /// When the frame is of another kind or lacks a column.
    pub fn of(frame: &'a Frame) -> Result<Self, FrameError> {
        Self::of_columns(&Columns::of(frame, Kind::Quarantine)?)
    }

    /// The same of rows that [`complete`] has made.
    ///
    /// # Errors
    /// When a column is of another type.
    pub fn of_rows(rows: &'a RecordBatch) -> Result<Self, FrameError> {
        Self::of_columns(&Columns::of_rows(rows, Kind::Quarantine))
    }

    fn of_columns(columns: &Columns<'a>) -> Result<Self, FrameError> {
        Ok(Self {
            message: columns.get("message")?,
            topic: columns.strings("topic")?,
            payload: columns.get("payload")?,
            received_at: columns.get("received_at")?,
            client_id: columns.strings("client_id")?,
            properties: columns.get("properties")?,
            stage: columns.strings("stage")?,
            reason: columns.strings("reason")?,
            schema: columns.strings("schema")?,
            errors: columns.get("errors")?,
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

    /// [`Refusal::message`] of `row`.
    pub fn message(&self, row: usize) -> u64 {
        self.message.value(row)
    }

    /// [`Refusal::topic`] of `row`.
    pub fn topic(&self, row: usize) -> &'a str {
        self.topic.get(row).unwrap_or_default()
    }

    /// [`Refusal::payload`] of `row`.
    pub fn payload(&self, row: usize) -> &'a [u8] {
        self.payload.value(row)
    }

    /// [`Refusal::received_at`] of `row`.
    pub fn received_at(&self, row: usize) -> Micros {
        self.received_at.value(row)
    }

    /// [`Refusal::client_id`] of `row`.
    pub fn client_id(&self, row: usize) -> &'a str {
        self.client_id.get(row).unwrap_or_default()
    }

    /// [`Refusal::properties`] of `row`.
    pub fn properties(&self, row: usize) -> Properties {
        property_pairs(self.properties, row).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// [`Refusal::stage`] of `row`.
    pub fn stage(&self, row: usize) -> &'a str {
        self.stage.get(row).unwrap_or_default()
    }

    /// [`Refusal::reason`] of `row`.
    pub fn reason(&self, row: usize) -> &'a str {
        self.reason.get(row).unwrap_or_default()
    }

    /// [`Refusal::schema`] of `row`.
    pub fn schema(&self, row: usize) -> Option<&'a str> {
        self.schema.get(row)
    }

    /// [`Refusal::schema_version`] of `row`.
    pub fn schema_version(&self, row: usize) -> Option<&'a str> {
        self.schema_version.get(row)
    }

    /// [`Refusal::replays`] of `row`.
    pub fn replays(&self, row: usize) -> u32 {
        if self.replays.is_valid(row) { self.replays.value(row) } else { 0 }
    }

    /// [`Refusal::errors`] of `row`.
    pub fn errors(&self, row: usize) -> Vec<Fault> {
        let entries = self.errors.value(row);
        let Some(entries) = entries.as_any().downcast_ref::<StructArray>() else {
            return Vec::new();
        };
        let text = |column: usize, entry: usize| {
            let strings = entries.column(column).as_any().downcast_ref::<StringArray>();
            strings.map(|strings| strings.value(entry).to_owned()).unwrap_or_default()
        };
        (0..entries.len())
            .map(|entry| Fault { pointer: text(0, entry), keyword: text(1, entry), message: text(2, entry) })
            .collect()
    }
}
