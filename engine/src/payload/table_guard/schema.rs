//! Which schemas are read: little-endian, of bounded depth and width, and of types that exist.

use std::collections::HashMap;

use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{Endianness, Schema as IpcSchema, Type};
use arrow_schema::{
    DECIMAL32_MAX_PRECISION, DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION,
    DataType, Field, Schema, SchemaRef,
};

use super::{Dictionaries, Dictionary, exceeded, invalid};
use crate::payload::table::summary;
use crate::{Limits, Result};

/// Converts a verified schema, and lists the dictionaries that it declares.
///
/// The decoder would take big-endian data as it is and hand over wrong values.
pub(super) fn read(ipc: IpcSchema<'_>, at: usize, limits: &Limits) -> Result<(SchemaRef, Dictionaries)> {
    match ipc.endianness() {
        Endianness::Little => {}
        Endianness::Big => {
            return Err(invalid(at, "the table is big-endian; only little-endian tables are read"));
        }
        _ => return Err(invalid(at, "the table has an unknown byte order")),
    }
    let mut columns = Columns { count: 0, limit: limits.table_columns };
    for field in ipc.fields().into_iter().flatten() {
        check_shape(field, 1, &mut columns, at)?;
    }
    let schema = try_fb_to_schema(ipc).map_err(|err| {
        invalid(at, "the schema has a column that Arrow cannot read").with_source(summary(&err))
    })?;
    let mut dictionaries = HashMap::new();
    for field in schema.fields() {
        check_field(field, 1, &mut dictionaries, at)?;
    }
    Ok((schema.into(), dictionaries))
}

/// Bounds the conversion, which recurses and allocates for each field, and panics at unions of over 128 types.
fn check_shape(field: arrow_ipc::Field<'_>, depth: usize, columns: &mut Columns, at: usize) -> Result<()> {
    columns.count += 1;
    if depth > MAX_NESTING {
        let what = "the columns nest deeper than the bridge reads";
        return Err(exceeded(at, what).with_size(depth as u64, MAX_NESTING as u64));
    }
    if columns.count > columns.limit {
        let what = "the schema has more columns, nested ones included, than `Limits::table_columns` allows";
        return Err(exceeded(at, what).with_size(columns.count as u64, columns.limit as u64));
    }
    let children = field.children();
    if field.type_type() == Type::Union {
        let type_ids = field.type_as_union().and_then(|union| union.typeIds());
        // Ids are 32 bits wide in the schema, eight in the data, and the conversion cuts them.
        let fits = type_ids.is_none_or(|ids| ids.iter().all(|id| (0..=127).contains(&id)));
        if !fits || children.is_some_and(|children| children.len() > 128) {
            return Err(invalid(at, "a union has a type id above 127"));
        }
    }
    children.into_iter().flatten().try_for_each(|child| check_shape(child, depth + 1, columns, at))
}

/// Columns so far, nested ones included, and how many there may be.
struct Columns {
    count: usize,
    limit: usize,
}

/// Refuses parameters that no writer can mean, and notes the field if it is a dictionary. `depth` is 1 for a column of the
/// table itself.
fn check_field(field: &Field, depth: u64, dictionaries: &mut Dictionaries, at: usize) -> Result<()> {
    if let DataType::Dictionary(_, value_type) = field.data_type() {
        #[expect(deprecated, reason = "the id on the wire is kept nowhere else")]
        let id = field.dict_id().unwrap_or_default();
        let known = dictionaries.entry(id).or_insert_with(|| {
            let schema = Schema::new(vec![field.clone()]);
            // The first is the column itself.
            let mut below = schema.flattened_fields().into_iter().skip(1);
            Dictionary {
                holds_others: below.any(|field| matches!(field.data_type(), DataType::Dictionary(..))),
                schema,
                value_type: value_type.as_ref().clone(),
                held: None,
                view_buffers: 0,
                uses: 0,
            }
        });
        known.uses += depth;
        if known.value_type != **value_type {
            return Err(invalid(at, "two columns share a dictionary of different types"));
        }
    }
    check_type(field.data_type(), depth, dictionaries, at)
}

fn check_type(data_type: &DataType, depth: u64, dictionaries: &mut Dictionaries, at: usize) -> Result<()> {
    let mut child = |field: &Field| check_field(field, depth + 1, dictionaries, at);
    match data_type {
        DataType::FixedSizeBinary(width) if *width < 0 => {
            Err(invalid(at, "a fixed-size type has a negative size"))
        }
        DataType::FixedSizeList(_, size) if *size < 0 => {
            Err(invalid(at, "a fixed-size type has a negative size"))
        }
        DataType::Decimal32(precision, _) => check_precision(*precision, DECIMAL32_MAX_PRECISION, at),
        DataType::Decimal64(precision, _) => check_precision(*precision, DECIMAL64_MAX_PRECISION, at),
        DataType::Decimal128(precision, _) => check_precision(*precision, DECIMAL128_MAX_PRECISION, at),
        DataType::Decimal256(precision, _) => check_precision(*precision, DECIMAL256_MAX_PRECISION, at),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => child(entries),
            _ => Err(invalid(at, "the entries of a map are not pairs")),
        },
        DataType::RunEndEncoded(run_ends, values) => match run_ends.data_type() {
            DataType::Int16 | DataType::Int32 | DataType::Int64 => child(values),
            _ => Err(invalid(at, "run ends are not signed integers")),
        },
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => child(item),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| child(field)),
        DataType::Union(fields, _) => fields.iter().try_for_each(|(_, field)| child(field)),
        DataType::Dictionary(_, values) => check_type(values, depth, dictionaries, at),
        _ => Ok(()),
    }
}

fn check_precision(precision: u8, max: u8, at: usize) -> Result<()> {
    if (1..=max).contains(&precision) {
        Ok(())
    } else {
        Err(invalid(at, format!("a decimal has the precision {precision}, and its width holds 1 to {max}")))
    }
}

/// How deep columns may nest; a plain column is 1. The decoder recurses that deep (chosen: real tables stay below 10).
pub(super) const MAX_NESTING: usize = 64;
