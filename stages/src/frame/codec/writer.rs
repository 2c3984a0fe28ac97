//! Writes an Arrow IPC stream as Arrow's own writer does, at less cost: that one compresses each buffer of each column by way
//! of several that it brings each time. Here all of these are kept from one frame to the next.
//!
//! Format: [encapsulated messages](https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format) and
//! [compressed buffers](https://arrow.apache.org/docs/format/Columnar.html#compression).

use std::{cell::Cell, mem};

use arrow_array::{Array, RecordBatch};
use arrow_buffer::{Buffer, ToByteSlice};
use arrow_data::ArrayData;
use arrow_ipc::{
    BodyCompressionBuilder, BodyCompressionMethod, CompressionType, DictionaryBatchBuilder, FieldNode,
    MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder,
    convert::IpcSchemaEncoder,
    writer::{DictionaryTracker, IpcWriteOptions, StreamWriter},
};
use arrow_schema::{DataType, Schema};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use super::{
    END_OF_STREAM,
    lz4::{self, Compressor},
    packed::{self, Encoded, Found, Packed, Source},
};
use crate::frame::FrameError;

/// The least padding that the format allows: most frames are small, and decompressing aligns anew.
const ALIGNMENT: usize = 8;

/// Stands before a message's length.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// What a buffer begins with: how long it is without compression, or [`NOT_COMPRESSED`].
const PREFIX_BYTES: usize = 8;
const NOT_COMPRESSED: i64 = -1;

/// Smaller buffers are stored as they are: the frame of LZ4 alone takes 15 bytes.
const TINY: usize = 64;

/// Bytes of room for a body, and as many for a stream, that a thread keeps from one frame to the next, at most.
const KEPT_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static WRITER: Cell<Option<Box<Writer>>> = const { Cell::new(None) };
}

/// The stream of `rows`, whose schema beside its metadata is `schema`. What `sources` have is copied from them.
///
/// # Errors
/// When a column is of a type that Arrow IPC cannot carry.
pub(super) fn write(
    schema: &Schema,
    rows: &RecordBatch,
    sources: &[Source<'_>],
) -> Result<Encoded, FrameError> {
    if !schema.fields().iter().all(|field| is_plain(field.data_type())) {
        return Ok(Encoded { bytes: write_any(schema, rows)?, packed: Packed::default() });
    }
    // One that panicked is lost.
    let mut writer = WRITER.take().unwrap_or_default();
    let encoded = writer.stream(schema, rows, sources);
    writer.give_up_room();
    WRITER.set(Some(writer));
    Ok(encoded)
}

/// For columns that no documented kind has.
fn write_any(schema: &Schema, rows: &RecordBatch) -> Result<Vec<u8>, FrameError> {
    let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?
        .try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), schema, options)?;
    writer.write(rows)?;
    Ok(writer.into_inner()?)
}

/// Whether [`Writer::array`] knows a type.
fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean | DataType::Utf8 | DataType::Binary => true,
        DataType::Dictionary(_, values) => !values.is_nested() && is_plain(values),
        DataType::List(field) | DataType::Map(field, _) => is_plain(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_plain(field.data_type())),
        other => other.primitive_width().is_some(),
    }
}

/// A stream in the making, and the message of it that is.
#[derive(Default)]
struct Writer {
    compressor: Compressor,
    header: FlatBufferBuilder<'static>,
    nodes: Vec<FieldNode>,
    places: Vec<arrow_ipc::Buffer>,
    body: Vec<u8>,
    stream: Vec<u8>,
    packed: Packed,
    /// The column in hand, and which one of the sources has its name.
    column: usize,
    theirs: Option<usize>,
}

impl Writer {
    fn stream(&mut self, schema: &Schema, rows: &RecordBatch, sources: &[Source<'_>]) -> Encoded {
        self.stream.clear();
        self.packed = Packed::of(rows.schema());
        let mut numbers = self.schema(schema);
        let columns: Vec<_> = rows.columns().iter().map(|column| column.to_data()).collect();
        let mut numbers = numbers.dict_id().iter().copied();
        for (index, column) in columns.iter().enumerate() {
            self.turn_to(index, sources);
            self.dictionaries(column, &mut numbers, sources);
        }
        for (index, column) in columns.iter().enumerate() {
            self.turn_to(index, sources);
            self.array(column, sources);
        }
        self.batch(rows.num_rows(), None);
        self.stream.extend_from_slice(&END_OF_STREAM);
        // Just as long as it must be, but for the checksum.
        let mut bytes = Vec::with_capacity(self.stream.len() + 8);
        bytes.extend_from_slice(&self.stream);
        Encoded { bytes, packed: mem::take(&mut self.packed) }
    }

    fn give_up_room(&mut self) {
        for room in [&mut self.body, &mut self.stream] {
            if room.capacity() > KEPT_BYTES_MAX {
                *room = Vec::new();
            }
        }
    }

    fn turn_to(&mut self, column: usize, sources: &[Source<'_>]) {
        self.column = column;
        self.theirs = sources.first().and_then(|source| self.packed.same_column(column, source.packed));
    }

    /// Writes the schema, and gives its dictionaries their numbers.
    fn schema(&mut self, schema: &Schema) -> DictionaryTracker {
        self.begin();
        let mut dictionaries = DictionaryTracker::new(false);
        let mut encoder = IpcSchemaEncoder::new().with_dictionary_tracker(&mut dictionaries);
        let schema = encoder.schema_to_fb_offset(&mut self.header, schema).as_union_value();
        self.message(MessageHeader::Schema, schema);
        dictionaries
    }

    /// Writes the values of the dictionaries in a column, which are numbered in this order.
    fn dictionaries(
        &mut self,
        column: &ArrayData,
        numbers: &mut impl Iterator<Item = i64>,
        sources: &[Source<'_>],
    ) {
        for child in column.child_data() {
            self.dictionaries(child, numbers, sources);
        }
        if let (DataType::Dictionary(..), [values]) = (column.data_type(), column.child_data()) {
            self.array(values, sources);
            self.batch(values.len(), numbers.next());
        }
    }

    fn begin(&mut self) {
        self.header.reset();
        self.nodes.clear();
        self.places.clear();
        self.body.clear();
    }

    /// Adds an array to the body of the message.
    fn array(&mut self, data: &ArrayData, sources: &[Source<'_>]) {
        let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0);
        let null_count = nulls.map_or(0, |nulls| nulls.null_count());
        self.nodes.push(FieldNode::new(data.len() as i64, null_count as i64));
        self.bits(nulls.map(|nulls| (nulls.inner().inner(), nulls.offset(), nulls.len())), sources);
        match (data.data_type(), data.buffers(), data.child_data()) {
            (DataType::Utf8 | DataType::Binary, [offsets, values], _) => {
                let (first, length) = self.offsets(data, offsets, sources);
                self.buffer(&values.slice_with_length(first, length), sources);
            }
            (DataType::List(_) | DataType::Map(..), [offsets], [values]) => {
                let (first, length) = self.offsets(data, offsets, sources);
                self.array(&values.slice(first, length), sources);
            }
            (DataType::Boolean, [bits], _) => self.bits(Some((bits, data.offset(), data.len())), sources),
            (DataType::Dictionary(keys, _), [buffer], _) => self.values(data, keys, buffer, sources),
            (other, [buffer], _) => self.values(data, other, buffer, sources),
            (_, _, children) => children.iter().for_each(|child| self.array(child, sources)),
        }
    }

    /// Adds bits from an offset on.
    fn bits(&mut self, bits: Option<(&Buffer, usize, usize)>, sources: &[Source<'_>]) {
        let Some((bits, offset, length)) = bits else { return self.buffer(&Buffer::default(), sources) };
        self.buffer(&bits.bit_slice(offset, length), sources);
        if offset % 8 != 0 {
            self.packed.forget_last(self.column);
        }
    }

    /// Adds the offsets of an array, counted from 0, and says where in its values they begin and how far they go.
    fn offsets(&mut self, data: &ArrayData, offsets: &Buffer, sources: &[Source<'_>]) -> (usize, usize) {
        let here: &[i32] = offsets.typed_data();
        let here = here.get(data.offset()..=data.offset() + data.len()).unwrap_or_default();
        let (&[first, ..], &[.., last]) = (here, here) else {
            self.buffer(&Buffer::from(0_i32.to_byte_slice()), &[]);
            self.packed.forget_last(self.column);
            return (0, 0);
        };
        if first == 0 {
            self.buffer(
                &offsets.slice_with_length(data.offset() * size_of::<i32>(), size_of_val(here)),
                sources,
            );
        } else {
            self.buffer(&here.iter().map(|offset| offset - first).collect(), &[]);
            self.packed.forget_last(self.column);
        }
        // Arrow's arrays have no offset that is not within their values.
        (usize::try_from(first).unwrap_or_default(), usize::try_from(last - first).unwrap_or_default())
    }

    /// Adds values that all have the width of `of`.
    fn values(&mut self, data: &ArrayData, of: &DataType, buffer: &Buffer, sources: &[Source<'_>]) {
        let width = of.primitive_width().unwrap_or_default();
        self.buffer(&buffer.slice_with_length(data.offset() * width, data.len() * width), sources);
    }

    /// Adds a buffer, compressed where that makes it smaller.
    fn buffer(&mut self, bytes: &Buffer, sources: &[Source<'_>]) {
        let at = self.body.len();
        let mut count = self.packed(bytes, sources);
        let mut blocks = at + PREFIX_BYTES + lz4::BEGIN_BYTES..self.body.len().saturating_sub(lz4::END_BYTES);
        if count == 0 || self.body.len() - at > bytes.len() {
            self.body.truncate(at);
            self.stored(bytes);
            (blocks, count) = (0..0, 0);
        }
        self.packed.add(self.column, bytes, blocks, count);
        self.places.push(arrow_ipc::Buffer::new(at as i64, (self.body.len() - at) as i64));
        self.body.resize(self.body.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// Adds a buffer as so many blocks: none where that is not worth it.
    fn packed(&mut self, bytes: &Buffer, sources: &[Source<'_>]) -> usize {
        if bytes.len() < TINY {
            return 0;
        }
        let number = self.packed.count(self.column);
        match self.theirs.and_then(|column| packed::pieces(sources, column, number, bytes)) {
            Some(pieces) => self.copied(bytes, &pieces),
            None => self.compressed(bytes),
        }
    }

    fn compressed(&mut self, bytes: &Buffer) -> usize {
        self.body.extend_from_slice(&(bytes.len() as i64).to_le_bytes());
        lz4::begin(&mut self.body);
        let count = self.compressor.compress(bytes, &mut self.body);
        lz4::end(&mut self.body);
        count
    }

    /// Puts a buffer together from what is compressed already, and says of how many blocks; none where no piece is.
    fn copied(&mut self, bytes: &Buffer, pieces: &[Found<'_>]) -> usize {
        if pieces.iter().all(|piece| piece.blocks.is_empty()) {
            return 0;
        }
        self.body.extend_from_slice(&(bytes.len() as i64).to_le_bytes());
        lz4::begin(&mut self.body);
        let add = |count: usize, piece: &Found<'_>| count + piece.add_to(&mut self.body);
        let count = pieces.iter().fold(0, add);
        lz4::end(&mut self.body);
        count
    }

    fn stored(&mut self, bytes: &Buffer) {
        if !bytes.is_empty() {
            self.body.extend_from_slice(&NOT_COMPRESSED.to_le_bytes());
            self.body.extend_from_slice(bytes);
        }
    }

    /// Ends a message of `rows` rows: a record batch, or the values of a dictionary.
    fn batch(&mut self, rows: usize, dictionary: Option<i64>) {
        let header = &mut self.header;
        let mut compression = BodyCompressionBuilder::new(header);
        compression.add_method(BodyCompressionMethod::BUFFER);
        compression.add_codec(CompressionType::LZ4_FRAME);
        let compression = compression.finish();
        let places = header.create_vector(&self.places);
        let nodes = header.create_vector(&self.nodes);
        let mut batch = RecordBatchBuilder::new(header);
        batch.add_length(rows as i64);
        batch.add_nodes(nodes);
        batch.add_buffers(places);
        batch.add_compression(compression);
        let batch = batch.finish();
        let Some(number) = dictionary else {
            return self.message(MessageHeader::RecordBatch, batch.as_union_value());
        };
        let mut values = DictionaryBatchBuilder::new(header);
        values.add_id(number);
        values.add_data(batch);
        let values = values.finish();
        self.message(MessageHeader::DictionaryBatch, values.as_union_value());
    }

    /// Adds the message to the stream, with its body.
    fn message(&mut self, kind: MessageHeader, header: WIPOffset<UnionWIPOffset>) {
        let mut message = MessageBuilder::new(&mut self.header);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(kind);
        message.add_bodyLength(self.body.len() as i64);
        message.add_header(header);
        let message = message.finish();
        self.header.finish(message, None);
        let header = self.header.finished_data();
        // The marker and the length take 8 bytes, so what is aligned here is so in the stream.
        let length = header.len().next_multiple_of(ALIGNMENT);
        self.stream.extend_from_slice(&CONTINUATION);
        self.stream.extend_from_slice(&(length as u32).to_le_bytes());
        self.stream.extend_from_slice(header);
        self.stream.resize(self.stream.len() + length - header.len(), 0);
        self.packed.end_message(self.stream.len());
        self.stream.extend_from_slice(&self.body);
        self.begin();
    }
}
