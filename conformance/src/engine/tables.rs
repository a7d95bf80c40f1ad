//! Arrow arrays in the protocol's words: for each column its name, its type and its stored values.

use natsbridge::arrow_array::{Array, ArrayRef, RecordBatch};
use natsbridge::payload::table::Table;
use serde_json::{Value, json};

use super::No;
use crate::bytes::{answer_string, hex};

mod cells;

/// A table as an answer.
pub(super) fn table(table: &Table) -> Result<Value, No> {
    let mut columns = Vec::new();
    for (index, field) in table.schema().fields().iter().enumerate() {
        let mut values = Vec::new();
        let type_name = cells::type_name(field.data_type());
        for batch in table.batches() {
            let array = column(batch, index)?;
            for row in 0..array.len() {
                values.push(cells::cell(array, row)?);
            }
        }
        columns.push(json!({"name": answer_string(field.name()), "type": type_name, "values": values}));
    }
    Ok(json!({"columns": columns, "rows": table.row_count()}))
}

fn column(batch: &RecordBatch, index: usize) -> Result<&ArrayRef, No> {
    batch.columns().get(index).ok_or_else(|| No::Broken("a batch lacks a column".to_owned()))
}

fn text(value: &str) -> Value {
    answer_string(value)
}

fn binary(value: &[u8]) -> Value {
    json!({"hex": hex(value)})
}
