//! The payloads that travel: every type, small and large, with everything that texts and names can hold.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use natsbridge::{Dialect, Payload};
use serde_json::{Value, json};

/// One payload: how it is sent, and what the receiver must find.
pub(crate) struct Item {
    pub(crate) payload: Payload,
    /// `text`, `value` or `rows`, as the peers say.
    pub(crate) expected: Option<(&'static str, Value)>,
    /// The metadata that the sender gives.
    pub(crate) metadata: Value,
}

impl Item {
    fn new(payload: Payload) -> Self {
        Self { payload, expected: None, metadata: json!({}) }
    }

    fn expecting(mut self, key: &'static str, value: Value) -> Self {
        self.expected = Some((key, value));
        self
    }

    fn text(name: &str, text: &str) -> Self {
        Self::new(Payload::text(name, text)).expecting("text", text.into())
    }

    fn dictionary(name: &str, value: Value) -> Self {
        Self::new(Payload::dictionary(name, &value).unwrap()).expecting("value", value)
    }

    fn rows(name: &str, rows: Value) -> Self {
        Self::new(Payload::json_table(name, &rows).unwrap()).expecting("rows", rows)
    }

    fn with_metadata(mut self, key: &str, value: Value) -> Self {
        self.payload = self.payload.with_metadata(key, &value).unwrap();
        self.metadata[key] = value;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.payload.chunks().concat()
    }

    pub(crate) fn type_name(&self, dialect: Dialect) -> &str {
        match (self.payload.type_name(), dialect) {
            ("table", Dialect::Snake) => "arrowtable",
            (name, _) => name,
        }
    }
}

/// Names and texts that something on the way may trip over.
pub(crate) const TRICKY: [&str; 16] = [
    "a/b\\c/../d",
    "#fragment",
    "?query=1&b=2",
    "100%25 %2F %",
    " spaces  around ",
    "\"",
    "'",
    "emoji 👋🏽 👩‍👩‍👧",
    "שלום مرحبا \u{202e}back",
    "combining e\u{301} \u{1100}\u{1161}",
    "line\u{2028}para\u{2029}next\u{85}end",
    "nul\0byte",
    "control \u{1}\t\r\n\u{8}\u{c}\u{1b}\u{7f}",
    "",
    "..",
    "\u{feff}bom \u{fffd} \u{10ffff}",
];

/// Numbers at the edges, and keys that are not words.
pub(crate) fn edges() -> Value {
    json!({
        "i64": [i64::MIN, i64::MAX], "u64": u64::MAX, "2^53+1": 9_007_199_254_740_993_u64, "-0": -0.0,
        "floats": [0.1, -1.5, 1e-7, 1e21, 1.797_693_134_862_315_7e308, 5e-324, 2.5e-308, 123_456_789.125],
        "zero": 0, "yes": true, "no": false, "none": null,
        "": {"": [[], {}, [{"__proto__": 1, "constructor": 2}]]},
        "größe\u{2028}\0\"\\": "👋 \u{7f}/", "10": 1, "9": 2,
    })
}

/// Small payloads of every type.
pub(crate) fn small() -> Vec<Item> {
    let mut items = vec![
        Item::text("text", &TRICKY.concat())
            .with_metadata("zeta", json!([1, 2.5, null]))
            .with_metadata("alpha", json!("ü\n")),
        Item::text("empty text", ""),
        Item::dictionary("edges", edges()),
        Item::dictionary("scalar", json!("just a text")),
        Item::dictionary("null", Value::Null),
        Item::rows("rows", json!([{"id": 1, "s": "ä", "n": null}, {"id": u64::MAX, "f": 0.25}, {}])),
        Item::rows("no rows", json!([])),
        table("table"),
        empty_table("empty table"),
    ];
    for (seed, type_name) in ["image", "audio", "video", "binary", "x-sensor/😀"].into_iter().enumerate() {
        for len in [0, 1, 2, 3, 1000 + seed] {
            let name = format!("{type_name} {len}");
            items.push(Item::new(Payload::other(type_name, name, noise(seed * 31 + len, len)).unwrap()));
        }
    }
    items.extend(TRICKY.iter().map(|name| Item::text(name, name)));
    items
}

/// Payloads of every type that are above the threshold in either dialect.
pub(crate) fn large() -> Vec<Item> {
    let row = |n: usize| json!({"id": n, "name": format!("row {n} ü").repeat(40), "half": n as f64 / 2.0});
    let mut items = vec![
        Item::text("large text", &"Grüße 👋 \"\\\u{1}\n\u{2028}".repeat(45_000)),
        Item::dictionary("large dictionary", (0..3000).map(row).collect()),
        Item::rows("large rows", (0..3000).map(row).collect()),
        large_table("large table", 4000),
    ];
    let types = ["image", "audio", "video", "binary", "x-sensor/😀"];
    items.extend(types.into_iter().zip(TRICKY).enumerate().map(|(seed, (type_name, name))| {
        Item::new(Payload::other(type_name, name, noise(seed, 1_000_000 + seed)).unwrap())
    }));
    items
}

/// The spec file from which a peer sends these payloads, every one with its very bytes.
pub(crate) fn spec(dir: &Path, name: &str, items: &[Item]) -> String {
    let entries: Value = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let (bytes, file) = (item.bytes(), format!("{name}.{index}"));
            let mut entry = json!({"dataname": item.payload.dataname(), "type": item.payload.type_name()});
            match &item.expected {
                // What a peer serialises itself.
                Some(("text", text)) => entry["text"] = text.clone(),
                Some(("value", value)) => entry["json"] = value.clone(),
                Some(("rows", rows)) if item.payload.type_name() == "jsontable" => {
                    entry["rows"] = rows.clone()
                }
                _ => {
                    std::fs::write(dir.join(&file), bytes).unwrap();
                    entry["path"] = file.into();
                }
            }
            if item.metadata != json!({}) {
                entry["metadata"] = item.metadata.clone();
            }
            entry
        })
        .collect();
    let path = dir.join(format!("{name}.json"));
    std::fs::write(&path, entries.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn schema() -> SchemaRef {
    let zone = Some("UTC".into());
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("big", DataType::UInt64, true),
        Field::new("score", DataType::Float64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("ok", DataType::Boolean, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, zone), true),
        Field::new("city", DataType::Dictionary(DataType::Int8.into(), DataType::Utf8.into()), true),
        Field::new("größe 👋", DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()), true),
        Field::new("nothing", DataType::Null, true),
    ]))
}

/// Three batches of 4, 0 and 3 rows, with nulls in every column that may have them.
fn table(name: &str) -> Item {
    let batch = |start: i64, count: i64| {
        let ids = start..start + count;
        let texts = ["", "ä 👋", "nul\0", "\u{2028}"];
        let pick = |id: i64| (id % 3 != 1).then(|| texts[id as usize % texts.len()]);
        let cities: DictionaryArray<Int8Type> = ids.clone().map(pick).collect();
        let sizes: DictionaryArray<Int32Type> = ids.clone().map(|id| (id % 4 != 0).then_some("L")).collect();
        let at = ids.clone().map(|id| (id % 5 != 2).then_some(1_709_208_000_000 + id * 3_600_123));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.clone().map(|id| i64::MAX - id).map(Some).collect::<Int64Array>()),
            Arc::new(
                ids.clone().map(|id| (id % 2 == 0).then_some(u64::MAX - id as u64)).collect::<UInt64Array>(),
            ),
            Arc::new(
                ids.clone()
                    .map(|id| (id % 4 != 3).then_some(id as f64 / 3.0 - 1e9))
                    .collect::<Float64Array>(),
            ),
            Arc::new(ids.clone().map(pick).collect::<StringArray>()),
            Arc::new(ids.clone().map(|id| (id % 3 != 0).then_some(id % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(at.collect::<TimestampMillisecondArray>().with_timezone("UTC")),
            Arc::new(cities),
            Arc::new(sizes),
            Arc::new(NullArray::new(count as usize)),
        ];
        RecordBatch::try_new(schema(), columns).unwrap()
    };
    // One dictionary for all batches: apache-arrow knows no replacement.
    let whole = batch(0, 7);
    let batches = [whole.slice(0, 4), whole.slice(4, 0), whole.slice(4, 3)];
    let rows = Value::Array(batches.iter().flat_map(crate::tables::rows).collect());
    Item::new(Payload::table(name, &batches).unwrap()).expecting("rows", rows)
}

fn empty_table(name: &str) -> Item {
    Item::new(Payload::table_with_schema(name, &schema(), &[]).unwrap()).expecting("rows", json!([]))
}

/// Two batches, about 300 bytes a row.
fn large_table(name: &str, rows: i64) -> Item {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("half", DataType::Float64, true),
        Field::new("name", DataType::Utf8, true),
    ]));
    let batch = |ids: std::ops::Range<i64>| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.clone().map(Some).collect::<Int64Array>()),
            Arc::new(ids.clone().map(|id| (id % 3 > 0).then_some(id as f64 / 2.0)).collect::<Float64Array>()),
            Arc::new(
                ids.map(|id| (id % 5 > 0).then(|| format!("row {id} ").repeat(40))).collect::<StringArray>(),
            ),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    let batches = [batch(0..rows / 2), batch(rows / 2..rows)];
    let rows = Value::Array(batches.iter().flat_map(crate::tables::rows).collect());
    Item::new(Payload::table(name, &batches).unwrap()).expecting("rows", rows)
}

/// Bytes that neither compress nor repeat, the same for the same seed.
pub(crate) fn noise(seed: usize, len: usize) -> Vec<u8> {
    let mut state = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut step).take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}
