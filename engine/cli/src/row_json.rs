//! A row of a table as JSON, written no further than a bound: a few bytes of it can stand for any number of values.

use std::io;
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int16Type, Int32Type, Int64Type, RunEndIndexType};
use arrow_array::{Array, ListLikeArray, MapArray, RecordBatch, RunArray};
use arrow_json::writer::{LineDelimited, NullableEncoder, WriterBuilder, make_encoder};
use arrow_json::{Encoder, EncoderFactory, EncoderOptions};
use arrow_schema::{ArrowError, DataType, FieldRef};

/// One row as an object with its nulls; `None` for types that have no JSON form, and above `most` bytes.
///
/// Takes no more time and memory than that many bytes do: no list is followed, and no value written, beyond them.
pub(crate) fn row_json(batch: &RecordBatch, at: usize, most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(Bounded { most }))
        .build::<_, LineDelimited>(&mut out as &mut dyn io::Write);
    writer.write(&batch.slice(at, 1)).ok()?;
    writer.finish().ok()?;
    drop(writer);
    (out.len() <= most).then_some(out)
}

/// Makes encoders that write nothing more once there are more than so many bytes. What they have left out needs no
/// mark: the length tells.
#[derive(Debug, Clone, Copy)]
struct Bounded {
    most: usize,
}

/// For values that have no parts.
static PLAIN: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);

impl EncoderFactory for Bounded {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let Self { most } = *self;
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            // Not by way of its null buffer, which takes a bit for every value that a list says there is.
            DataType::Null => return Ok(Some(NullableEncoder::new(Box::new(Nulls), None))),
            DataType::List(_) => list(array.as_list::<i32>(), most, field, options)?,
            DataType::LargeList(_) => list(array.as_list::<i64>(), most, field, options)?,
            DataType::ListView(_) => list(array.as_list_view::<i32>(), most, field, options)?,
            DataType::LargeListView(_) => list(array.as_list_view::<i64>(), most, field, options)?,
            DataType::FixedSizeList(..) => list(array.as_fixed_size_list(), most, field, options)?,
            DataType::Map(..) => Box::new(Entries::new(array.as_map(), most, field, options)?),
            DataType::RunEndEncoded(ends, _) => {
                let encoder: Box<dyn Encoder + 'a> = match ends.data_type() {
                    DataType::Int16 => runs(array.as_run::<Int16Type>(), field, options)?,
                    DataType::Int32 => runs(array.as_run::<Int32Type>(), field, options)?,
                    _ => runs(array.as_run::<Int64Type>(), field, options)?,
                };
                return Ok(Some(NullableEncoder::new(encoder, None)));
            }
            // As many bytes as their fields' names at least; what they hold comes back here.
            DataType::Struct(_) | DataType::Dictionary(..) => return Ok(None),
            _ => Box::new(Leaf { array, most, encoder: make_encoder(field, array, &PLAIN)? }),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

/// A value or `null`.
fn encode_any(encoder: &mut NullableEncoder<'_>, at: usize, out: &mut Vec<u8>) {
    if encoder.is_null(at) {
        out.extend_from_slice(b"null");
    } else {
        encoder.encode(at, out);
    }
}

struct Nulls;

impl Encoder for Nulls {
    fn encode(&mut self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"null");
    }
}

/// A value that has no parts.
struct Leaf<'a> {
    array: &'a dyn Array,
    most: usize,
    encoder: NullableEncoder<'a>,
}

impl Encoder for Leaf<'_> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        if out.len() > self.most {
            return;
        }
        let room = self.most - out.len();
        if value_len(self.array, at) > room {
            // Too long, and that shows.
            out.resize(self.most + 1, b' ');
        } else {
            self.encoder.encode(at, out);
        }
    }
}

/// Bytes of a text or of binary data, which in JSON are no fewer. Every other value is short.
fn value_len(array: &dyn Array, at: usize) -> usize {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(at).len(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(at).len(),
        DataType::Utf8View => array.as_string_view().value(at).len(),
        DataType::Binary => array.as_binary::<i32>().value(at).len(),
        DataType::LargeBinary => array.as_binary::<i64>().value(at).len(),
        DataType::BinaryView => array.as_binary_view().value(at).len(),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(at).len(),
        _ => 0,
    }
}

struct List<'a, L> {
    array: &'a L,
    most: usize,
    items: NullableEncoder<'a>,
}

fn list<'a, L: ListLikeArray>(
    array: &'a L,
    most: usize,
    field: &'a FieldRef,
    options: &'a EncoderOptions,
) -> Result<Box<dyn Encoder + 'a>, ArrowError> {
    let items = make_encoder(field, array.values().as_ref(), options)?;
    Ok(Box::new(List { array, most, items }))
}

impl<L: ListLikeArray> Encoder for List<'_, L> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (number, item) in self.array.element_range(at).enumerate() {
            if out.len() > self.most {
                return;
            }
            if number > 0 {
                out.push(b',');
            }
            encode_any(&mut self.items, item, out);
        }
        out.push(b']');
    }
}

/// Of a map.
struct Entries<'a> {
    array: &'a MapArray,
    most: usize,
    keys: NullableEncoder<'a>,
    values: NullableEncoder<'a>,
}

impl<'a> Entries<'a> {
    fn new(
        array: &'a MapArray,
        most: usize,
        field: &'a FieldRef,
        options: &'a EncoderOptions,
    ) -> Result<Self, ArrowError> {
        let (keys, values) = (array.keys(), array.values());
        let are_texts = matches!(keys.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if !are_texts || keys.null_count() > 0 || array.entries().null_count() > 0 {
            return Err(ArrowError::JsonError("only texts are keys in JSON".to_owned()));
        }
        let (keys, values) = (make_encoder(field, keys, options)?, make_encoder(field, values, options)?);
        Ok(Self { array, most, keys, values })
    }
}

impl Encoder for Entries<'_> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        let offsets = self.array.value_offsets();
        out.push(b'{');
        // Checked by the engine: not negative, and in order.
        for (number, entry) in (offsets[at] as usize..offsets[at + 1] as usize).enumerate() {
            if out.len() > self.most {
                return;
            }
            if number > 0 {
                out.push(b',');
            }
            self.keys.encode(entry, out);
            out.push(b':');
            encode_any(&mut self.values, entry, out);
        }
        out.push(b'}');
    }
}

struct Runs<'a, R: RunEndIndexType> {
    array: &'a RunArray<R>,
    values: NullableEncoder<'a>,
}

/// Without a null buffer, which takes a bit for every value that a run says there is.
fn runs<'a, R: RunEndIndexType>(
    array: &'a RunArray<R>,
    field: &'a FieldRef,
    options: &'a EncoderOptions,
) -> Result<Box<dyn Encoder + 'a>, ArrowError> {
    let values = make_encoder(field, array.values().as_ref(), options)?;
    Ok(Box::new(Runs { array, values }))
}

impl<R: RunEndIndexType> Encoder for Runs<'_, R> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        encode_any(&mut self.values, self.array.get_physical_index(at), out);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use arrow_array::builder::{Int32Builder, MapBuilder, StringBuilder};
    use arrow_array::types::Int8Type;
    use arrow_array::{
        ArrayRef, BinaryArray, DictionaryArray, FixedSizeListArray, Int8Array, Int32Array, Int64Array,
        ListArray, NullArray, StringArray, StructArray,
    };
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::Field;

    use super::*;

    const MIB: usize = 1 << 20;

    fn row(column: ArrayRef, at: usize, most: usize) -> Option<String> {
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        row_json(&batch, at, most).map(|json| String::from_utf8(json).unwrap())
    }

    /// All of it as one list.
    fn in_list(values: ArrayRef) -> ArrayRef {
        let field = Arc::new(Field::new("item", values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Arc::new(ListArray::new(field, offsets, values, None))
    }

    fn same_text(keys: usize, len: usize) -> ArrayRef {
        let text = Arc::new(StringArray::from(vec!["x".repeat(len)]));
        Arc::new(DictionaryArray::<Int8Type>::new(Int8Array::from(vec![0; keys]), text))
    }

    fn nulls(count: usize) -> ArrayRef {
        Arc::new(NullArray::new(count))
    }

    #[test]
    fn values_of_every_shape_are_written_with_their_nulls() {
        let numbers = || -> ArrayRef { Arc::new(Int32Array::from(vec![Some(1), None])) };
        let ends = Int64Array::from(vec![2, 5]);
        let run: ArrayRef =
            Arc::new(RunArray::try_new(&ends, &Int32Array::from(vec![Some(1), None])).unwrap());
        let item = Arc::new(Field::new("item", DataType::Int32, true));
        let fixed: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, numbers(), None));
        let part = Arc::new(Field::new("b", DataType::Int32, true));
        let parts: ArrayRef = Arc::new(StructArray::from(vec![(part, numbers())]));
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        for (key, value) in [("k", Some(1)), ("\"", None)] {
            map.keys().append_value(key);
            map.values().append_option(value);
        }
        map.append(true).unwrap();
        for (column, expected) in [
            (numbers(), "1"),
            (in_list(numbers()), "[1,null]"),
            (fixed, "[1,null]"),
            (in_list(parts), r#"[{"b":1},{"b":null}]"#),
            (Arc::new(map.finish()), r#"{"k":1,"\"":null}"#),
            (in_list(run), "[1,1,null,null,null]"),
            (in_list(same_text(2, 1)), r#"["x","x"]"#),
            (in_list(nulls(2)), "[null,null]"),
            (nulls(1), "null"),
            (Arc::new(BinaryArray::from(vec![&b"\x01"[..]])), "\"01\""),
        ] {
            assert_eq!(row(column, 0, MIB).unwrap(), format!("{{\"a\":{expected}}}\n"));
        }
    }

    #[test]
    fn a_row_has_its_bound_to_the_byte() {
        let text = |len| -> ArrayRef { Arc::new(StringArray::from(vec!["x".repeat(len)])) };
        for column in [text(90), in_list(text(88)), in_list(nulls(17)), in_list(same_text(7, 10))] {
            let len = row(Arc::clone(&column), 0, MIB).unwrap().len();
            assert!(row(Arc::clone(&column), 0, len).is_some());
            assert!(row(column, 0, len - 1).is_none());
        }
    }

    #[test]
    fn what_a_few_bytes_stand_for_is_not_written() {
        let begun = Instant::now();
        let billions = 2_000_000_000;
        let nothing = Arc::new(Field::new("item", DataType::Null, true));
        let empty: ArrayRef = Arc::new(StructArray::new_empty_fields(billions, None));
        let ends = Int64Array::from(vec![billions as i64]);
        let run = RunArray::try_new(&ends, &StringArray::from(vec!["x".repeat(1000)])).unwrap();
        let text = same_text(1, 1_000_000);
        let wide: Vec<_> = (0..500).map(|n| (n.to_string(), Arc::clone(&text))).collect();
        let wide = RecordBatch::try_from_iter(wide).unwrap();
        for column in [
            in_list(nulls(billions)),
            in_list(in_list(nulls(billions))),
            Arc::new(FixedSizeListArray::new(nothing, billions as i32, nulls(billions), None)),
            in_list(empty),
            in_list(Arc::new(run)),
            in_list(same_text(200_000, 200_000)),
            in_list(Arc::new(StructArray::from(wide.clone()))),
        ] {
            assert_eq!(row(column, 0, MIB), None);
        }
        assert_eq!(row_json(&wide, 0, MIB), None);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
