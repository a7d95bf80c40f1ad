//! Tables that no writer makes, put together by hand: a few bytes that stand for much, and counts that contradict each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_ipc::{
    Block, BodyCompression, BodyCompressionArgs, BodyCompressionMethod, CompressionType, DictionaryBatch,
    DictionaryBatchArgs, FieldNode, Footer, FooterArgs, KeyValue, KeyValueArgs, Message, MessageArgs,
    MessageHeader, MetadataVersion, SchemaArgs,
};
use arrow_schema::{DataType, Field, FieldRef, Schema, UnionFields, UnionMode};
use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;
use natsbridge::payload::table::{Table, decode, encode};
use natsbridge::{Error, ErrorKind, Limits, Result};

use super::property::peak;

/// A batch whose every number can be a lie.
#[derive(Clone, Default)]
struct Crafted {
    rows: i64,
    nodes: Vec<FieldNode>,
    buffers: Vec<arrow_ipc::Buffer>,
    view_counts: Vec<i64>,
    body: Vec<u8>,
    codec: Option<CompressionType>,
    is_dictionary: bool,
    id: i64,
    is_delta: bool,
    pairs: usize,
    version: MetadataVersion,
}

impl Crafted {
    fn batch(rows: i64) -> Self {
        Self { rows, version: MetadataVersion::V5, ..Self::default() }
    }

    fn dictionary(rows: i64) -> Self {
        Self { is_dictionary: true, ..Self::batch(rows) }
    }

    fn node(mut self, rows: i64, nulls: i64) -> Self {
        self.nodes.push(FieldNode::new(rows, nulls));
        self
    }

    fn at(mut self, offset: usize, len: usize) -> Self {
        self.buffers.push(arrow_ipc::Buffer::new(offset as i64, len as i64));
        self
    }

    fn buffer(mut self, bytes: &[u8]) -> Self {
        let start = self.body.len();
        self.body.extend(bytes);
        self.body.resize(self.body.len().next_multiple_of(8), 0);
        self.at(start, bytes.len())
    }

    fn empty(self, count: usize) -> Self {
        (0..count).fold(self, |batch, _| batch.at(0, 0))
    }

    fn zstd(mut self, bytes: &[u8]) -> Self {
        self.codec = Some(CompressionType::ZSTD);
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
        zstd_safe::compress(&mut frame, bytes, 1).unwrap();
        self.buffer(&[&(bytes.len() as i64).to_le_bytes()[..], &frame].concat())
    }

    fn message(&self) -> Vec<u8> {
        let mut builder = FlatBufferBuilder::new();
        let nodes = Some(builder.create_vector(&self.nodes));
        let buffers = Some(builder.create_vector(&self.buffers));
        let counts = (!self.view_counts.is_empty()).then(|| builder.create_vector(&self.view_counts));
        let compression = self.codec.map(|codec| {
            let method = BodyCompressionMethod::BUFFER;
            BodyCompression::create(&mut builder, &BodyCompressionArgs { codec, method })
        });
        let args = arrow_ipc::RecordBatchArgs {
            length: self.rows,
            nodes,
            buffers,
            compression,
            variadicBufferCounts: counts,
        };
        let batch = arrow_ipc::RecordBatch::create(&mut builder, &args);
        let (header_type, header) = if self.is_dictionary {
            let args = DictionaryBatchArgs { id: self.id, data: Some(batch), isDelta: self.is_delta };
            let dictionary = DictionaryBatch::create(&mut builder, &args);
            (MessageHeader::DictionaryBatch, dictionary.as_union_value())
        } else {
            (MessageHeader::RecordBatch, batch.as_union_value())
        };
        let pair = KeyValue::create(&mut builder, &KeyValueArgs::default());
        let pairs = builder.create_vector(&vec![pair; self.pairs]);
        let args = MessageArgs {
            version: self.version,
            header_type,
            header: Some(header),
            bodyLength: self.body.len() as i64,
            custom_metadata: Some(pairs),
        };
        let message = Message::create(&mut builder, &args);
        builder.finish(message, None);
        let mut header = builder.finished_data().to_vec();
        header.resize(header.len().next_multiple_of(8), 0);
        [&[0xFF; 4][..], &(header.len() as u32).to_le_bytes(), &header, &self.body].concat()
    }
}

fn stream(columns: Vec<Field>, batches: &[Vec<u8>]) -> Bytes {
    let schema = encode(&Arc::new(Schema::new(columns)), &[]).unwrap().concat();
    let end = schema.len() - 8;
    [&schema[..end], &batches.concat()].concat().into()
}

fn one(data_type: DataType) -> Vec<Field> {
    vec![Field::new("c", data_type, true)]
}

fn item(data_type: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new("item", data_type, nullable))
}

fn dictionary_of(values: DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int8), Box::new(values))
}

fn runs_of(values: DataType) -> DataType {
    let ends = Arc::new(Field::new("run_ends", DataType::Int64, false));
    DataType::RunEndEncoded(ends, Arc::new(Field::new("values", values, true)))
}

/// Decodes at default limits, which takes no more memory and time than is asked for here.
#[track_caller]
fn read_within(data: &Bytes, most: usize) -> Result<Table> {
    let begun = Instant::now();
    let (result, held) = peak(|| decode(data, &Limits::default()));
    assert!(held <= most, "{held} bytes held");
    // A busy machine may take some. Without the checks a few of these took minutes; of the others the result tells.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    result
}

#[track_caller]
fn exceeded(result: Result<Table>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[track_caller]
fn refused(data: &Bytes) -> Error {
    let error = read_within(data, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTable);
    error
}

/// A dictionary without values, and 24,000 buffers that views in it could look into.
fn many_view_buffers() -> Crafted {
    let views = Crafted::dictionary(0).node(0, 0).empty(2 + 24_000);
    Crafted { view_counts: vec![24_000], ..views }
}

#[test]
fn what_the_decoder_takes_from_a_dictionary_for_each_batch_counts_for_each() {
    let empty = Crafted::batch(0).node(0, 0).empty(2).message();
    let with = |values: DataType, dictionary: Option<Crafted>, count: usize| {
        let dictionary = dictionary.map(|batch| batch.message());
        let batches: Vec<_> = dictionary.into_iter().chain(vec![empty.clone(); count]).collect();
        stream(one(dictionary_of(values)), &batches)
    };

    // Lists of buffers, which are copied: 24 bytes each, 1.9 GB in 1 MB.
    let views = many_view_buffers();
    exceeded(read_within(&with(DataType::Utf8View, Some(views.clone()), 3300), 8 << 20));
    let table = decode(&with(DataType::Utf8View, Some(views), 100), &Limits::default()).unwrap();
    assert_eq!(table.batches().len(), 100);

    // What unions find their columns by; made anew for each batch where the dictionary was never sent: 2.4 GB in 283 kB.
    let union = UnionFields::try_new([127], [Field::new("", DataType::Null, true)]).unwrap();
    let union = Arc::new(Field::new("", DataType::Union(union, UnionMode::Sparse), true));
    let unions = DataType::Struct(vec![union; 1000].into());
    exceeded(read_within(&with(unions.clone(), None, 1000), 16 << 20));
    assert!(decode(&with(unions, None, 100), &Limits::default()).is_ok());

    // Nested values, which are validated: 70 ms for each 120 bytes.
    let zeros = vec![0; 4 << 20];
    let lists = Crafted::dictionary(1 << 20).node(1 << 20, 0).at(0, 0).zstd(&zeros).zstd(&zeros);
    let lists = lists.node(0, 0).empty(2);
    let list_view = DataType::ListView(item(DataType::Int8, true));
    exceeded(read_within(&with(list_view.clone(), Some(lists.clone()), 5000), 64 << 20));
    assert!(decode(&with(list_view, Some(lists), 100), &Limits::default()).is_ok());
}

#[test]
fn what_a_dictionary_costs_a_batch_depends_on_where_it_is_used() {
    let read =
        |data_type: DataType, messages: &[Vec<u8>]| read_within(&stream(one(data_type), messages), 64 << 20);
    let views = many_view_buffers();
    let keys = Crafted::batch(0).node(0, 0).empty(2);

    // Each delta is joined with what was there.
    let delta =
        Crafted { view_counts: vec![0], is_delta: true, ..Crafted::dictionary(0).node(0, 0).empty(2) };
    let deltas = |count| [vec![views.message()], vec![delta.message(); count]].concat();
    exceeded(read(dictionary_of(DataType::Utf8View), &deltas(3300)));
    assert!(read(dictionary_of(DataType::Utf8View), &deltas(100)).is_ok());

    // One that replaces another is all that there is.
    let replaced = vec![[views.message(), keys.message()]; 50].concat();
    let table = read(dictionary_of(DataType::Utf8View), &replaced).unwrap();
    assert_eq!(table.batches().len(), 50);

    // Inside of others, once for each of them.
    let lists = |depth| {
        (0..depth).fold(dictionary_of(DataType::Utf8View), |inner, _| DataType::List(item(inner, true)))
    };
    let in_lists = |depth, count| {
        let outer = (0..depth).fold(Crafted::batch(0), |batch, _| batch.node(0, 0).empty(2));
        let batch = outer.node(0, 0).empty(2).message();
        read(lists(depth), &[vec![views.message()], vec![batch; count]].concat())
    };
    exceeded(in_lists(62, 3));
    assert!(in_lists(62, 2).is_ok());
    assert!(in_lists(0, 100).is_ok());

    // A dictionary whose values are made of another one takes that apart, too.
    let nested = dictionary_of(DataType::List(item(dictionary_of(DataType::Utf8View), true)));
    let inner = views.clone();
    let outer = Crafted { id: 1, ..Crafted::dictionary(0).node(0, 0).empty(2).node(0, 0).empty(2) };
    let sent = |count| [vec![inner.message()], vec![outer.message(); count]].concat();
    exceeded(read(nested.clone(), &sent(3300)));
    assert!(read(nested, &sent(50)).is_ok());

    // What a union finds its columns by, made for each batch.
    let union = UnionFields::try_new([127], [Field::new("", DataType::Null, true)]).unwrap();
    let union = Arc::new(Field::new("", DataType::Union(union, UnionMode::Sparse), true));
    let unions = Crafted::batch(0).node(0, 0).empty(1);
    let unions = (0..1000).fold(unions, |batch, _| batch.node(0, 0).empty(1).node(0, 0)).message();
    let structs = DataType::Struct(vec![union; 1000].into());
    exceeded(read(structs.clone(), &vec![unions.clone(); 400]));
    assert!(read(structs, &vec![unions; 20]).is_ok());
}

#[test]
fn list_views_are_looked_at_again_for_each_column_around_them() {
    let rows = 4 << 20;
    for (width, list_view) in [
        (4, DataType::ListView(item(DataType::Int8, true))),
        (8, DataType::LargeListView(item(DataType::Int8, true))),
    ] {
        let zeros = vec![0; rows * width];
        let lists = |depth| {
            let data_type = (0..depth).fold(list_view.clone(), |inner, _| DataType::List(item(inner, true)));
            let outer = (0..depth).fold(Crafted::batch(0), |batch, _| batch.node(0, 0).empty(2));
            let outer = Crafted { rows: if depth == 0 { rows as i64 } else { 0 }, ..outer };
            let views = outer.node(rows as i64, 0).at(0, 0).zstd(&zeros).zstd(&zeros);
            stream(one(data_type), &[views.node(0, 0).empty(2).message()])
        };
        // Once for itself.
        let held = (rows * width * 2) as u64;
        let used = |data: &Bytes, limit| decode(data, &Limits::default().table_len(limit));
        assert!(used(&lists(0), held + rows as u64 / 8 + 64).is_ok());
        assert!(used(&lists(3), held * 4 + 64).is_ok());
        let error = used(&lists(3), held * 4 - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        // Seven seconds for 36 kB, where they are as many as the limit allows.
        exceeded(read_within(&lists(61), 1 << 20));
    }
}

#[test]
fn blocks_that_share_a_message_are_refused_before_it_is_read_for_each() {
    // A minute for a megabyte.
    let message = Crafted { pairs: 60_000, ..Crafted::batch(0) }.message();
    let file = |places: &[(usize, usize)]| {
        let mut builder = FlatBufferBuilder::new();
        let fields = builder.create_vector::<flatbuffers::ForwardsUOffset<arrow_ipc::Field<'_>>>(&[]);
        let schema = SchemaArgs { fields: Some(fields), ..SchemaArgs::default() };
        let schema = Some(arrow_ipc::Schema::create(&mut builder, &schema));
        let blocks =
            places.iter().map(|&(at, body)| Block::new(at as i64, message.len() as i32, body as i64));
        let blocks = blocks.collect::<Vec<_>>();
        let batches = Some(builder.create_vector(&blocks));
        let version = MetadataVersion::V5;
        let args = FooterArgs { version, schema, recordBatches: batches, ..FooterArgs::default() };
        let footer = Footer::create(&mut builder, &args);
        builder.finish(footer, None);
        let footer = builder.finished_data();
        let len = (footer.len() as u32).to_le_bytes();
        Bytes::from([b"ARROW1\0\0", &message[..], &[0; 64], footer, &len, b"ARROW1"].concat())
    };
    let error = refused(&file(&vec![(8, 0); 20_000]));
    assert_eq!((error.explanation(), error.offset()), ("two blocks of the file overlap", Some(8)));
    assert!(read_within(&file(&[(8, 0)]), 1 << 20).is_ok());
    // The body that the footer announces is the message's own.
    let error = refused(&file(&[(8, 64)]));
    assert_eq!(error.explanation(), "a message is longer or shorter than its block in the footer");
}

#[test]
fn rows_without_bytes_inside_of_columns_cost_as_much_as_numbers() {
    let billions = 2_000_000_000_i64;
    let fixed = DataType::FixedSizeList(item(DataType::Null, false), 500_000_000);
    let structs = DataType::Struct(vec![item(DataType::Null, false)].into());
    let run_structs = DataType::Struct(vec![item(runs_of(DataType::Null), false)].into());
    let run_lists = DataType::List(item(run_structs, true));
    let ends = billions.to_le_bytes();
    for (data_type, batch) in [
        // 500 MB in 344 bytes.
        (fixed, Crafted::batch(8).node(8, 1).buffer(&[0xFE]).node(2 * billions, 2 * billions)),
        (structs, Crafted::batch(billions).node(billions, 0).empty(1).node(billions, billions)),
        (
            run_lists,
            (Crafted::batch(0).node(0, 0).empty(2).node(billions, 0).empty(1).node(billions, 0).node(1, 0))
                .empty(1)
                .buffer(&ends)
                .node(1, 1),
        ),
    ] {
        exceeded(read_within(&stream(one(data_type), &[batch.message()]), 1 << 20));
    }
    // On their own they take nothing, however many they are.
    let nulls = Crafted::batch(billions).node(billions, billions);
    let runs = Crafted::batch(billions).node(billions, 0).node(1, 0).empty(1).buffer(&ends).node(1, 1);
    for (data_type, batch) in [(DataType::Null, nulls), (runs_of(DataType::Null), runs)] {
        let table = read_within(&stream(one(data_type), &[batch.message()]), 1 << 20).unwrap();
        assert_eq!(table.batches()[0].num_rows() as i64, billions);
    }
}

#[test]
fn counts_that_contradict_each_other_are_refused() {
    let numbers = [1, 2, 3];
    let structs = DataType::Struct(vec![item(DataType::Int8, true)].into());
    let in_struct = |rows| Crafted::batch(3).node(rows, 0).empty(1).node(3, 0).empty(1).buffer(&numbers);
    let union = UnionFields::try_new([0], [Field::new("a", DataType::Int8, true)]).unwrap();
    let union = DataType::Union(union, UnionMode::Sparse);
    let in_union = |nulls| Crafted::batch(3).node(3, nulls);
    let after = |batch: Crafted| batch.buffer(&[0; 3]).node(3, 0).empty(1).buffer(&numbers);
    let ends = 3_i64.to_le_bytes();
    let runs = |nulls| {
        Crafted::batch(3).node(3, nulls).node(1, 0).empty(1).buffer(&ends).node(1, 0).empty(1).buffer(&[9])
    };
    let v4 = |nulls| {
        let batch = after(in_union(nulls).buffer(&[0b101]));
        Crafted { version: MetadataVersion::V4, ..batch }
    };
    let lists = Crafted::batch(1).node(1, 0).empty(1).buffer(&[0, 0, 0, 0, 3, 0, 0, 0]);
    let lists = |rows| lists.clone().node(rows, 0).empty(1).node(3, 0).empty(1).buffer(&numbers);
    let list_of = DataType::List(item(structs.clone(), true));
    let lengths = "a struct has columns of other lengths than its own";
    let nulls = "a union or a column of runs has nulls of its own";
    for (data_type, good, bad, what) in [
        (structs.clone(), in_struct(3), in_struct(77), lengths),
        (structs, in_struct(3), in_struct(0), lengths),
        (list_of, lists(3), lists(1), lengths),
        (runs_of(DataType::Int8), runs(0), runs(3), nulls),
        (union.clone(), after(in_union(0)), after(in_union(1)), nulls),
        // A null that would be read as the value 2.
        (union, v4(0), v4(1), nulls),
    ] {
        assert!(decode(&stream(one(data_type.clone()), &[good.message()]), &Limits::default()).is_ok());
        assert_eq!(refused(&stream(one(data_type), &[bad.message()])).explanation(), what);
    }

    let dictionary = |rows| Crafted::dictionary(rows).node(3, 0).empty(1).buffer(&numbers).message();
    let keys = Crafted::batch(1).node(1, 0).empty(1).buffer(&[0]).message();
    let table = |rows| stream(one(dictionary_of(DataType::Int8)), &[dictionary(rows), keys.clone()]);
    assert!(decode(&table(3), &Limits::default()).is_ok());
    assert_eq!(refused(&table(5)).explanation(), "a column is longer or shorter than its batch");
}

#[test]
fn buffers_overlap_wherever_they_share_a_byte() {
    let columns = || ["a", "b"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let numbers = Crafted { body: (0..24).collect(), ..Crafted::batch(1) }.node(1, 0).node(1, 0);
    let at = |first, second| numbers.clone().at(0, 0).at(first, 8).at(0, 0).at(second, 8).message();
    for (first, second) in [(0, 8), (8, 0), (16, 0)] {
        let table = decode(&stream(columns(), &[at(first, second)]), &Limits::default()).unwrap();
        let value = |at: usize| i64::from_le_bytes(std::array::from_fn(|byte| (at + byte) as u8));
        for (column, place) in table.batches()[0].columns().iter().zip([first, second]) {
            assert_eq!(column.to_data().buffers()[0].typed_data::<i64>(), [value(place)]);
        }
    }
    for (first, second) in [(0, 0), (8, 8), (0, 4), (4, 0), (7, 0)] {
        let error = refused(&stream(columns(), &[at(first, second)]));
        assert_eq!(error.explanation(), "the buffers of a batch overlap");
    }
}
