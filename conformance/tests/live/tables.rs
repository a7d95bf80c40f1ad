//! Tables as rows of JSON, to compare what two Arrow libraries make of the same bytes; and other writers' tables.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int8Type, Int32Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use natsbridge::{Dialect, ErrorKind, Payload, PayloadType};
use natsbridge_conformance::{Peer, repository, sha256};
use serde_json::{Map, Value, json};

use crate::compare::same;
use crate::{DIALECTS, World, name, next};

/// The rows of a batch. Timestamps are milliseconds since 1970.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Value> {
    let schema = batch.schema();
    let row = |row: usize| {
        let cells = schema.fields().iter().zip(batch.columns());
        let cells = cells.map(|(field, column)| (field.name().clone(), cell(column, row)));
        Value::Object(cells.collect::<Map<_, _>>())
    };
    (0..batch.num_rows()).map(row).collect()
}

fn cell(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().value(row).into()
        }
        DataType::Dictionary(key, _) if **key == DataType::Int8 => {
            let column = column.as_dictionary::<Int8Type>();
            cell(column.values(), column.key(row).unwrap())
        }
        DataType::Dictionary(_, _) => {
            let column = column.as_dictionary::<Int32Type>();
            cell(column.values(), column.key(row).unwrap())
        }
        other => panic!("no test has a column of {other}"),
    }
}

/// The engine's own fixtures, which pyarrow and apache-arrow have written.
fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(repository().join("engine/tests/data/arrow").join(name)).unwrap()
}

/// What must be readable everywhere (`TYPE-6`), and how many rows it has.
const FIXTURES: [(&str, u64); 9] = [
    ("py-stream.arrow", 100),
    ("py-file.arrow", 100),
    ("py-stream-legacy.arrow", 100),
    ("py-stream-lz4.arrow", 100),
    ("py-stream-zstd.arrow", 100),
    ("py-file-lz4.arrow", 100),
    ("py-file-zstd.arrow", 100),
    ("js-stream.arrow", 30),
    ("js-file.arrow", 30),
];

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_others_wrote_pass_in_every_container_and_compression() {
    let world = World::start().await;
    let bridge = world.bridge().await;
    for peer in Peer::ALL {
        let subject = format!("tables.{peer:?}");
        let mut receiving = world.peer(peer, "receive", &subject, &["--count", "1"]);
        receiving.ready().await.unwrap();
        let payloads = FIXTURES.map(|(file, _)| Payload::table_ipc(file, fixture(file)));
        bridge.send(&subject).payloads(payloads).flushed().await.unwrap();
        let outcome = receiving.finish().await.unwrap();
        let line = natsbridge_conformance::parse_line(&outcome.lines[0]).unwrap();
        for ((file, rows), payload) in FIXTURES.iter().zip(line["payloads"].as_array().unwrap()) {
            assert_eq!(payload["sha256"], sha256(&fixture(file)));
            let found = payload["rows"].as_array().unwrap_or_else(|| panic!("{peer:?} {file}: {payload}"));
            assert!(found.len() as u64 == *rows, "{peer:?} {file}: {} rows", found.len());
        }

        let entries = FIXTURES.map(|(file, _)| {
            std::fs::write(world.path().join(file), fixture(file)).unwrap();
            json!({"dataname": file, "type": "table", "path": file})
        });
        std::fs::write(world.path().join("spec.json"), Value::from(entries.to_vec()).to_string()).unwrap();
        let mut messages = bridge.subscribe(&subject).await.unwrap();
        world.peer(peer, "send", &subject, &["--spec", "spec.json"]).values().await.unwrap();
        let message = next(&mut messages).await;
        for (index, (file, rows)) in FIXTURES.iter().enumerate() {
            let data = message.payload_at(index).unwrap().fetch().await.unwrap();
            assert_eq!(data.bytes(), &fixture(file), "{file}");
            let table = data.table(&natsbridge::Limits::default()).unwrap();
            assert!(table.row_count() == *rows, "{file}: {table:?}");
        }
    }
}

/// What a peer's own Arrow library writes for rows of JSON: apache-arrow's strings are dictionary-encoded.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_the_peers_make_of_rows_have_the_same_values_here() {
    let world = World::start().await;
    let bridge = world.bridge().await;
    let written = json!([
        {"id": 1, "name": "Ann", "score": 95.5, "ok": true, "none": null},
        {"id": 9_007_199_254_740_993_u64, "name": "Grüße 👋 \u{2028}\0", "score": null, "ok": null, "none": null},
        {"id": i64::MIN, "name": null, "score": -0.25, "ok": false, "none": null},
        {"id": null, "name": "Ann", "score": 5e-324, "ok": true, "none": null},
    ]);
    let many: Value = (0..20_000)
        .map(|n| json!({"n": n, "text": format!("t{}", n % 7), "f": f64::from(n) / 3.0}))
        .collect();
    let spec = json!([
        {"dataname": "table", "type": "table", "rows": written},
        {"dataname": "arrowtable", "type": "arrowtable", "rows": written},
        {"dataname": "many", "type": "table", "rows": many},
        {"dataname": "rows in a table", "type": "table", "text": " \n[{\"id\":1}]"},
        {"dataname": "no rows", "type": "table", "rows": []},
    ]);
    std::fs::write(world.path().join("spec.json"), spec.to_string()).unwrap();
    for peer in Peer::ALL {
        for dialect in DIALECTS {
            let subject = format!("made.{peer:?}.{}", name(dialect));
            let mut messages = bridge.subscribe(&subject).await.unwrap();
            let args = ["--spec", "spec.json", "--dialect", name(dialect)];
            world.peer(peer, "send", &subject, &args).values().await.unwrap();
            let message = next(&mut messages).await;
            let word = if dialect == Dialect::Camel { "table" } else { "arrowtable" };
            for (index, expected) in [&written, &written, &many].into_iter().enumerate() {
                let payload = message.payload_at(index).unwrap();
                assert_eq!((payload.payload_type(), payload.type_name()), (PayloadType::Table, word));
                let found: Value = payload.record_batches().await.unwrap().iter().flat_map(rows).collect();
                same(expected, &found, &format!("{peer:?} {index}"));
            }
            let in_json = message.payload("rows in a table").unwrap();
            assert_eq!(in_json.json_value().await.unwrap(), json!([{"id": 1}]));
            let error = in_json.record_batches().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongType);
            let none = message.payload("no rows").unwrap().record_batches().await.unwrap();
            assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
        }
    }
}
