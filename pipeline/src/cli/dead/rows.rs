//! Rows of frames as JSON, for people.

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int32Type, TimestampMicrosecondType, UInt64Type},
};
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

use super::shown;

/// The first rows, an object each; columns without a value are left out.
pub(super) fn first(rows: &RecordBatch, count: usize) -> Vec<Value> {
    let row = |row: usize| {
        let schema = rows.schema();
        let columns = schema.fields().iter().zip(rows.columns());
        let values = columns.map(|(field, column)| (field.name().clone(), value(column, row)));
        Value::Object(values.filter(|(_, value)| !value.is_null()).collect())
    };
    (0..rows.num_rows().min(count)).map(row).collect()
}

/// The value in `row`, of the types that frames have.
fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Binary => text(array.as_binary::<i32>().value(row)).into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            shown(array.as_primitive::<TimestampMicrosecondType>().value(row)).into()
        }
        DataType::Dictionary(key, _) if **key == DataType::Int32 => {
            let column = array.as_dictionary::<Int32Type>();
            column.key(row).map_or(Value::Null, |key| value(column.values(), key))
        }
        DataType::List(_) => all(&array.as_list::<i32>().value(row)),
        DataType::Map(_, _) => all(&array.as_map().value(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            let values =
                fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), value(column, row)));
            Value::Object(values.collect::<Map<_, _>>())
        }
        other => format!("({other})").into(),
    }
}

fn all(array: &dyn Array) -> Value {
    (0..array.len()).map(|row| value(array, row)).collect()
}

/// Bytes as the text that they mostly are, else in hexadecimal digits.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("0x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
    }
}
