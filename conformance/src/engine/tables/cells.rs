//! One value of an Arrow array, by the array's type.

use natsbridge::arrow_array::cast::AsArray as _;
use natsbridge::arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use natsbridge::arrow_array::{Array, ArrowPrimitiveType};
use natsbridge::arrow_schema::{DataType, IntervalUnit, TimeUnit};
use serde_json::{Value, json};

use super::super::No;
use super::{binary, text};

/// The protocol's word for a type; a dictionary's is that of its values.
pub(super) fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Dictionary(_, values) => return type_name(values),
        DataType::RunEndEncoded(_, values) => return type_name(values.data_type()),
        DataType::Boolean => "bool",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "utf8",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary"
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "list",
        DataType::Struct(_) => "struct",
        DataType::Map(_, _) => "map",
        DataType::Timestamp(_, _) => "timestamp",
        DataType::Time32(_) => "time32",
        DataType::Time64(_) => "time64",
        DataType::Duration(_) => "duration",
        DataType::Interval(_) => "interval",
        DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => "decimal",
        DataType::Union(_, _) => "union",
        other => return other.to_string().to_lowercase(),
    };
    name.to_owned()
}

/// The value at `row`.
pub(super) fn cell(array: &dyn Array, row: usize) -> Result<Value, No> {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return Ok(Value::Null);
    }
    let all = |items: &dyn Array| (0..items.len()).map(|at| cell(items, at)).collect::<Result<Value, No>>();
    Ok(match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int8 => integer::<Int8Type>(array, row),
        DataType::Int16 => integer::<Int16Type>(array, row),
        DataType::Int32 => integer::<Int32Type>(array, row),
        DataType::Int64 => integer::<Int64Type>(array, row),
        DataType::UInt8 => integer::<UInt8Type>(array, row),
        DataType::UInt16 => integer::<UInt16Type>(array, row),
        DataType::UInt32 => integer::<UInt32Type>(array, row),
        DataType::UInt64 => integer::<UInt64Type>(array, row),
        DataType::Float16 => float(array.as_primitive::<Float16Type>().value(row).to_f64()),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => integer::<Date32Type>(array, row),
        DataType::Date64 => integer::<Date64Type>(array, row),
        DataType::Time32(TimeUnit::Second) => integer::<Time32SecondType>(array, row),
        DataType::Time32(_) => integer::<Time32MillisecondType>(array, row),
        DataType::Time64(TimeUnit::Microsecond) => integer::<Time64MicrosecondType>(array, row),
        DataType::Time64(_) => integer::<Time64NanosecondType>(array, row),
        DataType::Timestamp(TimeUnit::Second, _) => integer::<TimestampSecondType>(array, row),
        DataType::Timestamp(TimeUnit::Millisecond, _) => integer::<TimestampMillisecondType>(array, row),
        DataType::Timestamp(TimeUnit::Microsecond, _) => integer::<TimestampMicrosecondType>(array, row),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => integer::<TimestampNanosecondType>(array, row),
        DataType::Duration(TimeUnit::Second) => integer::<DurationSecondType>(array, row),
        DataType::Duration(TimeUnit::Millisecond) => integer::<DurationMillisecondType>(array, row),
        DataType::Duration(TimeUnit::Microsecond) => integer::<DurationMicrosecondType>(array, row),
        DataType::Duration(TimeUnit::Nanosecond) => integer::<DurationNanosecondType>(array, row),
        DataType::Interval(IntervalUnit::YearMonth) => integer::<IntervalYearMonthType>(array, row),
        DataType::Decimal32(_, _) => integer::<Decimal32Type>(array, row),
        DataType::Decimal64(_, _) => integer::<Decimal64Type>(array, row),
        DataType::Decimal128(_, _) => integer::<Decimal128Type>(array, row),
        DataType::Decimal256(_, _) => integer::<Decimal256Type>(array, row),
        DataType::Utf8 => text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => text(array.as_string_view().value(row)),
        DataType::Binary => binary(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => binary(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => binary(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => binary(array.as_fixed_size_binary().value(row)),
        DataType::List(_) => all(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => all(&array.as_list::<i64>().value(row))?,
        DataType::ListView(_) => all(&array.as_list_view::<i32>().value(row))?,
        DataType::LargeListView(_) => all(&array.as_list_view::<i64>().value(row))?,
        DataType::FixedSizeList(_, _) => all(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|field| cell(field, row)).collect::<Result<_, _>>()?
        }
        // Entries are structs of key and value, and a struct is the array of its values.
        DataType::Map(_, _) => all(&array.as_map().value(row))?,
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let key = cell(dictionary.keys(), row)?;
            let key = key.as_str().and_then(|key| key.parse::<usize>().ok());
            match key.filter(|key| *key < dictionary.values().len()) {
                Some(key) => cell(dictionary.values(), key)?,
                None => return Err(No::Broken("a dictionary's key is beyond its values".to_owned())),
            }
        }
        other => return Err(No::Broken(format!("no word for values of {other}"))),
    })
}

fn integer<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &dyn Array, row: usize) -> Value {
    array.as_primitive::<T>().value(row).to_string().into()
}

fn float(value: f64) -> Value {
    if value.is_nan() { json!({"f": "nan"}) } else { json!({"f": format!("{:016x}", value.to_bits())}) }
}
