//! Columns that several kinds of frames share: their Arrow types, and typed access by name.

use std::sync::Arc;

use arrow_array::{
    Array, DictionaryArray, RecordBatch, StringArray, builder::StringDictionaryBuilder, types::Int32Type,
};
use arrow_schema::{DataType, Field, TimeUnit};

use super::{Frame, FrameError, Kind};

/// Builds a column of strings that repeat.
pub(super) type Repeated = StringDictionaryBuilder<Int32Type>;

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
