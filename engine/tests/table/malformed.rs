//! Messages that are whole in themselves, put together in ways that the format does not allow.

use arrow_array::Int32Array;
use arrow_ipc::{
    KeyValue, KeyValueArgs, Message, MessageArgs, MessageHeader, MetadataVersion, RecordBatch,
    RecordBatchArgs, root_as_footer, root_as_message,
};
use flatbuffers::FlatBufferBuilder;
use natsbridge::{Error, ErrorKind};

use super::columns::{batch, column, small};
use super::fixtures::fixture;
use super::hostile::{attack, file_of};
use super::{read, stream_of};

const END: &[u8] = b"\xFF\xFF\xFF\xFF\0\0\0\0";

fn refused(data: &[u8]) -> Error {
    let err = attack(data, 1 << 20, 1 << 20).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::InvalidTable, "{err}");
    err
}

fn number(data: &[u8], at: usize) -> usize {
    u32::from_le_bytes(data[at..at + 4].try_into().unwrap()) as usize
}

/// The messages of a stream, without its end-of-stream marker.
fn messages(stream: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    let mut rest = stream;
    while rest != END {
        let metadata_end = 8 + number(rest, 4);
        let body_len = root_as_message(&rest[8..metadata_end]).unwrap().bodyLength() as usize;
        let (message, others) = rest.split_at(metadata_end + body_len);
        messages.push(message);
        rest = others;
    }
    messages
}

/// Where a flatbuffer's table has the field of a slot.
fn field(data: &[u8], table: usize, slot: usize) -> usize {
    let vtable = table as i64 - i64::from(number(data, table) as u32 as i32);
    let entry = vtable as usize + 4 + 2 * slot;
    let offset = u16::from_le_bytes([data[entry], data[entry + 1]]);
    assert_ne!(offset, 0, "the field has its default value");
    table + usize::from(offset)
}

/// Where the table of the message at `at` starts.
fn message_table(data: &[u8], at: usize) -> usize {
    at + 8 + number(data, at + 8)
}

#[test]
fn the_schema_comes_first_and_once() {
    let stream = stream_of(&small());
    let messages = messages(&stream);
    let [schema, dictionary, batch, ..] = messages[..] else { panic!("{} messages", messages.len()) };

    let err = refused(&[batch, END].concat());
    assert_eq!((err.explanation(), err.offset()), ("data before the schema", Some(0)));
    assert_eq!(refused(&[dictionary, schema].concat()).explanation(), "data before the schema");
    let err = refused(&[schema, schema].concat());
    assert_eq!((err.explanation(), err.offset()), ("a second schema", Some(schema.len() as u64)));
    assert_eq!(refused(END).explanation(), "a table without a schema");
}

#[test]
fn batches_need_their_dictionaries_and_the_dictionaries_their_columns() {
    let stream = stream_of(&small());
    let messages = messages(&stream);
    let [schema, dictionary, batch, ..] = messages[..] else { panic!("{} messages", messages.len()) };
    refused(&[schema, batch].concat());
    assert_eq!(read([schema, dictionary, batch].concat()).unwrap().batches(), &small()[..1]);

    let plain = stream_of(&[small()[0].project(&[0]).unwrap()]);
    let schema = self::messages(&plain)[0];
    assert_eq!(
        refused(&[schema, dictionary].concat()).explanation(),
        "a dictionary has an id that the schema does not use"
    );
    assert_eq!(
        refused(&[schema, batch].concat()).explanation(),
        "a batch has more columns or buffers than its schema"
    );
    let [schema, ..] = messages[..] else { unreachable!() };
    let narrow = self::messages(&plain)[1];
    assert_eq!(
        refused(&[schema, narrow].concat()).explanation(),
        "a batch has fewer columns than its schema"
    );
}

#[test]
fn a_delta_needs_what_it_adds_to() {
    let stream = fixture("py-stream-delta.arrow");
    let messages = messages(&stream);
    let kinds: Vec<_> =
        messages.iter().map(|message| root_as_message(&message[8..]).unwrap().header_type()).collect();
    use MessageHeader as Kind;
    assert_eq!(kinds[..4], [Kind::Schema, Kind::DictionaryBatch, Kind::RecordBatch, Kind::DictionaryBatch]);
    let err = refused(&[messages[0], messages[3]].concat());
    assert_eq!(err.explanation(), "a delta for a dictionary that was not sent");
}

#[test]
fn other_versions_and_kinds_of_message_are_refused() {
    let stream = stream_of(&small());
    let version = field(&stream, message_table(&stream, 0), 0);
    for (number, name) in [(2, "V3"), (5, "5"), (0xFF, "255")] {
        let mut stream = stream.clone();
        stream[version] = number;
        assert!(refused(&stream).explanation().contains(name), "{number}");
    }
    let kind = field(&stream, message_table(&stream, 0), 1);
    for number in [0, 4, 5, 6, 0xFF] {
        let mut stream = stream.clone();
        stream[kind] = number;
        refused(&stream);
    }
}

#[test]
fn blocks_of_a_file_do_not_overlap() {
    let file = file_of(&small(), None);
    let footer_len = number(&file, file.len() - 10);
    let footer = &file[file.len() - 10 - footer_len..file.len() - 10];
    let blocks = root_as_footer(footer).unwrap().recordBatches().unwrap();
    let [first, second] = [0, 1].map(|index| blocks.get(index).offset());
    let place = file.windows(8).rposition(|window| window == second.to_le_bytes()).unwrap();
    for shift in [0, 8] {
        let mut file = file.clone();
        file[place..place + 8].copy_from_slice(&(first + shift).to_le_bytes());
        refused(&file);
    }
    let mut same = file.clone();
    same[place..place + 8].copy_from_slice(&first.to_le_bytes());
    assert_eq!(refused(&same).explanation(), "two blocks of the file overlap");
}

#[test]
fn a_file_cannot_replace_a_dictionary() {
    let mut file = fixture("py-file-delta.arrow");
    let footer_len = number(&file, file.len() - 10);
    let footer_at = file.len() - 10 - footer_len;
    let footer = root_as_footer(&file[footer_at..file.len() - 10]).unwrap();
    let delta_at = footer.dictionaries().unwrap().get(1).offset() as usize;
    let header = field(&file, message_table(&file, delta_at), 2);
    let dictionary = header + number(&file, header);
    let is_delta = field(&file, dictionary, 2);
    assert_eq!(file[is_delta], 1);
    file[is_delta] = 0;
    assert!(refused(&file).explanation().starts_with("a dictionary is sent twice"));
}

#[test]
fn a_body_that_is_compressed_as_arrow_0_17_did_it_is_refused() {
    let stream = stream_of(&[batch([("n", column(Int32Array::from(vec![1, 2, 3])))])]);
    let [schema, old] = messages(&stream)[..] else { panic!("a schema and a batch") };
    let metadata_end = 8 + number(old, 4);
    let message = root_as_message(&old[8..metadata_end]).unwrap();
    let record = message.header_as_record_batch().unwrap();

    let mut builder = FlatBufferBuilder::new();
    let nodes: Vec<_> = record.nodes().unwrap().iter().copied().collect();
    let buffers: Vec<_> = record.buffers().unwrap().iter().copied().collect();
    let nodes = Some(builder.create_vector(&nodes));
    let buffers = Some(builder.create_vector(&buffers));
    let args = RecordBatchArgs { length: record.length(), nodes, buffers, ..Default::default() };
    let record = RecordBatch::create(&mut builder, &args).as_union_value();
    let (key, value) = ("ARROW:experimental_compression", "LZ4");
    let (key, value) = (Some(builder.create_string(key)), Some(builder.create_string(value)));
    let pair = KeyValue::create(&mut builder, &KeyValueArgs { key, value });
    let args = MessageArgs {
        version: MetadataVersion::V4,
        header_type: MessageHeader::RecordBatch,
        header: Some(record),
        bodyLength: message.bodyLength(),
        custom_metadata: Some(builder.create_vector(&[pair])),
    };
    let message = Message::create(&mut builder, &args);
    builder.finish(message, None);
    let mut header = builder.finished_data().to_vec();
    header.resize(header.len().next_multiple_of(8), 0);
    let prefix = [&[0xFF; 4][..], &(header.len() as u32).to_le_bytes()].concat();

    // Without looking there, the length in front of the packed bytes would be read as the first number.
    let told = [schema, &prefix, &header, &old[metadata_end..], END].concat();
    let error = refused(&told);
    assert_eq!(error.explanation(), "a body that is compressed as Arrow 0.17 did it");
    assert_eq!(error.offset(), Some(schema.len() as u64));
}
