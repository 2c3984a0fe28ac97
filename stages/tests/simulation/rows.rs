//! What stands in frames, as far as the simulation looks at it.

use arrow_array::{Array, RecordBatch, cast::AsArray, types};
use arrow_schema::DataType;
use stages::frame::{Frame, Kind, Messages, Micros, Readings};

/// The message of each row of *messages* or *readings*; nothing for other kinds.
pub(crate) fn messages_of(frame: &Frame) -> Vec<u64> {
    match frame.header.kind {
        Kind::Messages | Kind::Readings => frame
            .rows
            .column_by_name("message")
            .map_or_else(Vec::new, |column| column.as_primitive::<types::UInt64Type>().values().to_vec()),
        _ => Vec::new(),
    }
}

/// Device and message of each reading.
pub(crate) fn readings_of(frame: &Frame) -> Vec<(String, u64)> {
    let Ok(rows) = Readings::of(frame) else { return Vec::new() };
    let device = |row| rows.devices().get(row).unwrap_or_default().to_owned();
    (0..rows.len()).map(|row| (device(row), rows.message(row))).collect()
}

/// When the first of the messages in a frame was received; the greatest instant where it holds none.
pub(crate) fn oldest(frame: &Frame) -> Micros {
    let messages = Messages::of(frame).ok();
    let first = messages.and_then(|rows| (0..rows.len()).map(|row| rows.received_at(row)).min());
    first.unwrap_or(Micros::MAX)
}

/// Each row as text with all its columns, so that rows of frames with other dictionaries compare.
pub(crate) fn texts(rows: &RecordBatch) -> Vec<String> {
    let schema = rows.schema();
    let columns = || schema.fields().iter().zip(rows.columns());
    let text = |row| {
        let cells =
            columns().map(|(field, column)| format!("{}={}", field.name(), cell(column.as_ref(), row)));
        cells.collect::<Vec<_>>().join(" ")
    };
    (0..rows.num_rows()).map(text).collect()
}

fn cell(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "-".to_owned();
    }
    let list = |values: &dyn Array| {
        let cells: Vec<_> = (0..values.len()).map(|row| cell(values, row)).collect();
        format!("[{}]", cells.join(", "))
    };
    match array.data_type() {
        DataType::Dictionary(..) => {
            let column = array.as_dictionary::<types::Int32Type>();
            column.key(row).map_or_else(String::new, |key| cell(column.values().as_ref(), key))
        }
        DataType::Utf8 => format!("{:?}", array.as_string::<i32>().value(row)),
        DataType::Binary => String::from_utf8_lossy(array.as_binary::<i32>().value(row)).into_owned(),
        DataType::UInt32 => array.as_primitive::<types::UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<types::UInt64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", array.as_primitive::<types::Float64Type>().value(row)),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Timestamp(..) => {
            array.as_primitive::<types::TimestampMicrosecondType>().value(row).to_string()
        }
        DataType::Map(..) => list(&array.as_map().value(row)),
        DataType::List(..) => list(array.as_list::<i32>().value(row).as_ref()),
        DataType::Struct(..) => array
            .as_struct()
            .columns()
            .iter()
            .map(|column| cell(column.as_ref(), row))
            .collect::<Vec<_>>()
            .join(":"),
        other => panic!("a column of the type {other} has no text yet"),
    }
}
