//! Columns that several kinds of frames share: their Arrow types, and typed access by name.

mod repeated;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array,
    new_null_array, types::Int32Type,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};

pub(super) use self::repeated::Repeated;
use super::{Frame, FrameError, Kind};

/// Strings that repeat: a dictionary with 32-bit keys.
pub(super) fn repeated(name: &str, nullable: bool) -> Field {
    Field::new_dictionary(name, DataType::Int32, DataType::Utf8, nullable)
}

/// An instant: microseconds, UTC.
pub(super) fn instant(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)
}

/// Text keys to text values, in the order given; keys may repeat.
pub(super) fn properties(name: &str) -> Field {
    let entries = Field::new(
        "entries",
        DataType::Struct(
            vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)]
                .into(),
        ),
        false,
    );
    Field::new(name, DataType::Map(Arc::new(entries), false), true)
}

/// The columns of `schema`, by name. One that `rows` do not have is 0 where it is a number, and null otherwise.
pub(super) fn complete(rows: &RecordBatch, schema: &Schema) -> Result<RecordBatch, FrameError> {
    let count = rows.num_rows();
    let columns = schema.fields().iter().map(|field| -> (Field, ArrayRef) {
        let Ok(found) = rows.schema_ref().index_of(field.name()) else {
            return match field.data_type() {
                DataType::UInt32 => (field.as_ref().clone(), Arc::new(UInt32Array::from(vec![0; count]))),
                other => (field.as_ref().clone().with_nullable(true), new_null_array(other, count)),
            };
        };
        (rows.schema_ref().field(found).clone(), Arc::clone(rows.column(found)))
    });
    let (fields, columns): (Vec<_>, Vec<_>) = columns.unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// The rows of a frame as those of one kind.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    kind: Kind,
    rows: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    /// # Errors
    /// When the frame is of another kind.
    pub(super) fn of(frame: &'a Frame, kind: Kind) -> Result<Self, FrameError> {
        if frame.header.kind != kind {
            return Err(FrameError::Header { key: "kind", value: frame.header.kind.to_string() });
        }
        Ok(Self { kind, rows: &frame.rows })
    }

    /// Rows that are known to be of a kind.
    pub(super) fn of_rows(rows: &'a RecordBatch, kind: Kind) -> Self {
        Self { kind, rows }
    }

    /// The column `name` as an array of type `T`.
    pub(super) fn get<T: Array + 'static>(&self, name: &str) -> Result<&'a T, FrameError> {
        self.rows
            .column_by_name(name)
            .and_then(|column| column.as_any().downcast_ref())
            .ok_or_else(|| FrameError::Column { kind: self.kind, column: name.to_owned() })
    }

    /// The dictionary column `name`.
    pub(super) fn strings(&self, name: &str) -> Result<Strings<'a>, FrameError> {
        let column: &DictionaryArray<Int32Type> = self.get(name)?;
        let values = column
            .values()
            .as_any()
            .downcast_ref()
            .ok_or_else(|| FrameError::Column { kind: self.kind, column: name.to_owned() })?;
        Ok(Strings { column, values })
    }
}

/// A column of strings that repeat, read without copies.
#[derive(Debug, Clone, Copy)]
pub struct Strings<'a> {
    column: &'a DictionaryArray<Int32Type>,
    values: &'a StringArray,
}

impl<'a> Strings<'a> {
    /// The string in `row`, if there is one.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        let key = self.column.key(row)?;
        self.values.is_valid(key).then(|| self.values.value(key))
    }

    /// The number of the string in `row` among [`Strings::distinct`] ones: work done once per
    /// distinct string is looked up by it.
    pub fn key(&self, row: usize) -> Option<usize> {
        self.column.key(row)
    }

    /// The string behind a key, if there is one.
    pub fn at(&self, key: usize) -> Option<&'a str> {
        (key < self.values.len() && self.values.is_valid(key)).then(|| self.values.value(key))
    }

    /// How many keys there are. A string may stand behind more than one key.
    pub fn distinct(&self) -> usize {
        self.values.len()
    }
}
