//! What must hold for any bytes: the bodies of the property tests and of the fuzz targets.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use ::base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Bytes, BytesMut};
use natsbridge::base64::{Codec, Invalid, Tier};
use natsbridge::plan::{PlanItem, PlanLimits};
use natsbridge::{
    Content, Data, Dialect, Envelope, ErrorKind, Limits, MessageFields, Metadata, PayloadData, PayloadFields,
    PayloadType, PayloadView, Transport, base64,
};
use sha2::{Digest, Sha256};

use crate::oracle::{self, json, write};
use crate::source::{self, Source};

/// A property of any bytes; it panics where it does not hold.
pub(crate) type Property = fn(&[u8]);

/// Every property by its name, which is also that of its fuzz target and of its folder of seeds.
pub(crate) const ALL: [(&str, Property); 7] = [
    ("envelope_differential", envelope_differential),
    ("envelope_structured", envelope_structured),
    ("envelope_paths", envelope_paths),
    ("envelope_round_trip", envelope_round_trip),
    ("base64_split", base64_split),
    ("dictionary", dictionary),
    ("plan", plan),
];

/// Any bytes as a message: accepted or refused as the oracle does, with the same meaning.
pub(crate) fn envelope_differential(message: &[u8]) {
    check_paths(message);
    let expected = oracle::envelope::read(message);
    compare_with_serde_json(message);
    let envelope = match Envelope::decode(Bytes::copy_from_slice(message)) {
        Ok(envelope) => envelope,
        Err(error) => {
            assert!(expected.is_none(), "refused: {error}");
            assert_eq!(error.kind(), ErrorKind::Malformed);
            let offset = error.offset().expect("every refusal has its offset");
            assert!(offset <= message.len() as u64, "{error}");
            return;
        }
    };
    let expected = expected.expect("accepted, but the oracle refuses it");
    assert_eq!(envelope.dialect() == Dialect::Snake, expected.snake, "the dialect");
    assert_eq!(strings_of(&envelope), expected.strings.each_ref().map(String::as_str));
    assert_eq!(envelope.metadata().as_json(), expected.metadata);
    check_metadata(&envelope.metadata(), &expected.metadata);
    assert_eq!(envelope.payload_count(), expected.payloads.len());
    assert_eq!(envelope.as_bytes(), message);
    let owned = envelope.clone().into_owned();
    assert_eq!(format!("{envelope:?}"), format!("{owned:?}"));
    for (index, expected) in expected.payloads.iter().enumerate() {
        let view = envelope.payload(index).expect("counted");
        assert_eq!(
            [view.id(), view.dataname(), view.type_name(), view.encoding(), view.metadata().as_json()],
            [&expected.id, &expected.dataname, &expected.type_name, &expected.encoding, &expected.metadata]
                .map(String::as_str)
        );
        assert_eq!((view.index(), view.size()), (index, expected.size));
        assert_eq!(view.defect().is_none(), expected.data.is_some(), "{:?}", view.defect());
        match (view.content(), &expected.data) {
            (Err(error), None) => {
                assert_eq!((error.kind(), error.payload()), (ErrorKind::InvalidPayload, Some(index)));
                assert!(error.offset().is_some_and(|offset| offset < message.len() as u64), "{error}");
                assert_eq!(view.decode().err().map(|error| error.kind()), Some(ErrorKind::InvalidPayload));
            }
            (Ok(Content::Link(url)), Some(oracle::envelope::Data::Link(expected))) => {
                assert_eq!(url, *expected);
                assert_eq!(view.decode().err().map(|error| error.kind()), Some(ErrorKind::WrongType));
            }
            (Ok(Content::Json(json)), Some(oracle::envelope::Data::Json(expected))) => {
                assert_eq!(json, expected);
                if let Some(data) = decoded(&view, expected) {
                    assert_eq!(data.bytes(), expected);
                }
            }
            (Ok(Content::Base64(text)), Some(oracle::envelope::Data::Base64(expected))) => {
                let mut out = b"kept".to_vec();
                match (text.decode_into(&mut out), oracle::base64::decode(expected.as_bytes())) {
                    (Ok(()), Ok(expected)) => {
                        assert_eq!(out, [b"kept", expected.as_slice()].concat());
                        assert!(expected.len() <= text.max_decoded_len());
                        let Some(data) = decoded(&view, &expected) else { continue };
                        assert_eq!(data.bytes(), &expected);
                        assert_eq!(data.bytes().as_ptr() as usize % 64, 0, "decoded bytes are aligned");
                        assert_eq!(
                            data.size_mismatch(),
                            view.size().filter(|&size| size != expected.len() as u64)
                        );
                    }
                    (Err(error), Err(_)) => {
                        assert_eq!((error.kind(), error.payload()), (ErrorKind::InvalidBase64, Some(index)));
                        assert!(error.offset().is_some_and(|offset| offset < message.len() as u64));
                        assert_eq!(out, b"kept");
                        assert_eq!(view.decode().err().and_then(|error| error.offset()), error.offset());
                    }
                    (got, expected) => panic!("base64: {got:?} instead of {expected:?}"),
                }
            }
            (got, expected) => panic!("content: {got:?} instead of {expected:?}"),
        }
    }
}

/// The payload with these bytes, which can be had unless the metadata gives the digest of others.
pub(crate) fn decoded(view: &PayloadView<'_>, bytes: &[u8]) -> Option<PayloadData> {
    let given = view.metadata().get::<String>("sha256");
    let given = given.filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let own: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let right = given.is_none_or(|given| given.eq_ignore_ascii_case(&own));
    match view.decode() {
        Ok(data) => {
            assert!(right, "another digest than that of the bytes is passed over");
            Some(data)
        }
        Err(error) => {
            assert!(!right && error.kind() == ErrorKind::DigestMismatch, "{error}");
            None
        }
    }
}

/// A third opinion on the syntax, where serde_json has the same rules.
fn compare_with_serde_json(text: &[u8]) {
    let ours = json::parse(text);
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(_) => assert!(ours.is_some(), "serde_json accepts it"),
        Err(error) => {
            let other_rules = ["out of range", "recursion limit"];
            if !other_rules.iter().any(|rule| error.to_string().contains(rule)) {
                assert!(ours.is_none(), "serde_json refuses it: {error}");
            }
        }
    }
}

/// Metadata read as values means what the oracle makes of its text.
fn check_metadata(view: &natsbridge::MetadataView<'_>, text: &str) {
    let node = json::parse(text.as_bytes()).expect("metadata is JSON");
    let json::Value::Object(pairs) = &node.value else { panic!("metadata is an object") };
    assert_eq!(view.is_empty(), pairs.is_empty());
    assert_eq!(view.to_value::<serde_json::Value>().ok(), json::meaning(&node));
    for (key, _) in pairs {
        let last = pairs.iter().rfind(|(other, _)| other == key).and_then(|(_, node)| json::meaning(node));
        assert_eq!(view.get::<serde_json::Value>(key), last, "{key:?}");
    }
}

fn strings_of(envelope: &Envelope) -> [&str; 12] {
    [
        envelope.correlation_id(),
        envelope.msg_id(),
        envelope.timestamp(),
        envelope.send_to(),
        envelope.msg_purpose(),
        envelope.sender_name(),
        envelope.sender_id(),
        envelope.receiver_name(),
        envelope.receiver_id(),
        envelope.reply_to(),
        envelope.reply_to_msg_id(),
        envelope.broker_url(),
    ]
}

/// The same for a message that is built from the bytes and then damaged a little.
pub(crate) fn envelope_structured(bytes: &[u8]) {
    let source = &mut Source::new(bytes);
    let mutate = source.one_in(2);
    let mut message = source::message(source).into_bytes();
    if mutate {
        source::mutate(source, &mut message);
    }
    envelope_differential(&message);
}

/// A message near the documented order of keys, or any bytes: every way to read it gives the same.
pub(crate) fn envelope_paths(bytes: &[u8]) {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    if choice % 8 == 7 {
        check_paths(rest);
        return;
    }
    let source = &mut Source::new(rest);
    let mut message = source::ordered_message(source).into_bytes();
    if choice % 8 >= 4 {
        source::mutate(source, &mut message);
    }
    check_paths(&message);
}

/// With the usual limits, and for every other message with small ones as well.
fn check_paths(message: &[u8]) {
    let usual = Limits::default().payload_count(40);
    check_paths_within(message, &usual);
    // Numbers that every byte has a part in (FNV-1a): the message alone decides, whatever it was made of.
    let hash = message.iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let [choice, name, metadata, payload, end, ..] = hash.to_le_bytes().map(usize::from);
    if choice % 2 == 0 {
        return;
    }
    let mut small = usual;
    if choice & 2 != 0 {
        small = small.name_len(name % 48);
    }
    if choice & 4 != 0 {
        small = small.metadata_len(metadata % 96);
    }
    if choice & 8 != 0 {
        small = small.payload_len(payload as u64 % 128);
    }
    if choice & 16 != 0 {
        // Near the edge, where it is mostly met.
        small = small.message_len((message.len() + 4).saturating_sub(end % 6));
    }
    check_paths_within(message, &small);
}

/// The general path, the fast one, and both that decode on the way: the same messages are accepted with the same
/// meaning, with the same bytes, and all errors are the same.
fn check_paths_within(message: &[u8], limits: &Limits) {
    let message = Bytes::copy_from_slice(message);
    let (mut shared, mut kept) = (BytesMut::from("of the message before"), b"of the message before".to_vec());
    let general = Envelope::decode_in_any_order(message.clone(), limits);
    let fast = Envelope::decode_with(message.clone(), limits);
    let sharing = Envelope::decode_into(message.clone(), limits, &mut shared);
    let keeping = Envelope::decode_into_vec(message.clone(), limits, &mut kept);
    assert!(shared.is_empty());
    let general = match general {
        Ok(envelope) => envelope,
        Err(error) => {
            for other in [fast, sharing, keeping] {
                assert_eq!(format!("{:?}", other.err()), format!("{:?}", Some(&error)));
            }
            return;
        }
    };
    for (way, other) in [("fast", fast), ("sharing", sharing), ("keeping", keeping)] {
        let other = other.unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(other.dialect(), general.dialect(), "{way}");
        assert_eq!(strings_of(&other), strings_of(&general), "{way}");
        assert_eq!(other.metadata().as_json(), general.metadata().as_json(), "{way}");
        assert_eq!(format!("{other:?}"), format!("{general:?}"), "{way}");
        assert_eq!(other.payload_count(), general.payload_count(), "{way}");
        for (theirs, ours) in general.payloads().zip(other.payloads()) {
            let texts = |view: &PayloadView<'_>| {
                [view.id(), view.dataname(), view.type_name(), view.encoding(), view.metadata().as_json()]
                    .map(str::to_owned)
            };
            assert_eq!(texts(&ours), texts(&theirs), "{way}");
            assert_eq!((ours.size(), ours.transport()), (theirs.size(), theirs.transport()), "{way}");
            assert_eq!(format!("{:?}", ours.defect()), format!("{:?}", theirs.defect()), "{way}");
            assert_eq!(format!("{:?}", ours.content()), format!("{:?}", theirs.content()), "{way}");
            let decoded = |view: PayloadView<'_>| {
                let data = view.decode().map_err(|error| format!("{error:?}"))?;
                let base64 = matches!(view.content(), Ok(Content::Base64(_)));
                let aligned = data.bytes().is_empty() || (data.bytes().as_ptr() as usize).is_multiple_of(64);
                assert!(aligned || !base64, "{way}: decoded bytes are aligned");
                Ok::<_, String>((data.bytes().clone(), data.verification(), data.size_mismatch()))
            };
            let expected = decoded(theirs);
            assert_eq!(decoded(ours), expected, "{way}");
            if way == "keeping" {
                let bytes = ours.bytes_in(&kept).map_err(|error| format!("{error:?}"));
                assert_eq!(
                    bytes.map(|bytes| Bytes::from(bytes.into_owned())),
                    expected.map(|(bytes, ..)| bytes)
                );
            }
        }
    }
}

/// Fields from the bytes: written as the oracle writes them, in as many bytes as announced, and read back the same.
pub(crate) fn envelope_round_trip(bytes: &[u8]) {
    let source = &mut Source::new(bytes);
    let dialect = source.pick(&[Dialect::Camel, Dialect::Snake]);
    let snake = dialect == Dialect::Snake;
    let strings: [String; 12] = std::array::from_fn(|_| source.text(20));
    let metadata = metadata(source);
    let mut fields = MessageFields::default();
    let [a, b, c, d, e, f, g, h, i, j, k, l] = strings.each_ref().map(String::as_str);
    (fields.correlation_id, fields.msg_id, fields.timestamp, fields.send_to) = (a, b, c, d);
    (fields.msg_purpose, fields.sender_name, fields.sender_id, fields.receiver_name) = (e, f, g, h);
    (fields.receiver_id, fields.reply_to, fields.reply_to_msg_id, fields.broker_url) = (i, j, k, l);
    fields.metadata = metadata.as_ref();

    struct Made {
        texts: [String; 3],
        chunks: Vec<Bytes>,
        link: Option<(String, u64)>,
        metadata: Option<Metadata>,
    }
    let made: Vec<_> = (0..source.below(4))
        .map(|_| {
            let types = ["binary", "text", "dictionary", "table", "arrowtable", "jsontable", "image", "x y"];
            let texts = [source.text(9), source.text(9), source.pick(&types).to_owned()];
            let chunks = (0..source.below(4)).map(|_| Bytes::from(source.bytes(700))).collect();
            let link = source
                .one_in(3)
                .then(|| (format!("http://h/{}", source.text(9)), u64::from(source.byte()) << 55));
            Made { texts, chunks, link, metadata: self::metadata(source) }
        })
        .collect();
    let whole: Vec<Vec<u8>> = made.iter().map(|made| made.chunks.concat()).collect();
    let json_of =
        |metadata: &Option<Metadata>| metadata.as_ref().map_or_else(|| "{}".into(), Metadata::to_json);
    let mut payloads = Vec::new();
    let mut expected_payloads = Vec::new();
    for (made, whole) in made.iter().zip(&whole) {
        let data = match &made.link {
            Some((url, size)) => Data::Link { url, size: *size },
            None if made.chunks.len() == 1 => Data::Bytes(whole),
            None => Data::Chunks(&made.chunks),
        };
        let mut payload = PayloadFields::new(&made.texts[1], &made.texts[2], data);
        payload.id = &made.texts[0];
        payload.metadata = made.metadata.as_ref();
        payloads.push(payload);
        let data = match &made.link {
            Some((url, size)) => write::Data::Link(url, *size),
            None => write::Data::Bytes(whole),
        };
        let metadata = json_of(&made.metadata);
        expected_payloads.push(write::payload(
            snake,
            made.texts.each_ref().map(String::as_str),
            &data,
            &metadata,
        ));
        let len = natsbridge::envelope::payload_entry_len(dialect, &payload);
        assert_eq!(len, expected_payloads.last().map_or(0, String::len));
    }
    let expected = write::message(
        snake,
        &strings.each_ref().map(String::as_str),
        &json_of(&metadata),
        &expected_payloads,
    );

    let mut out = BytesMut::from("before");
    natsbridge::encode(dialect, &fields, &payloads, &mut out);
    let message = out.split_off("before".len()).freeze();
    assert_eq!(out, "before");
    assert_eq!(message, expected);
    assert_eq!(message.len(), natsbridge::encoded_len(dialect, &fields, &payloads));
    serde_json::from_slice::<serde_json::Value>(&message).expect("serde_json reads it");

    check_paths(&message);
    let envelope = Envelope::decode(message.clone()).expect("what was written reads back");
    assert_eq!(envelope.dialect(), dialect);
    assert_eq!(strings_of(&envelope), strings.each_ref().map(String::as_str));
    assert_eq!(envelope.metadata().as_json(), json_of(&metadata));
    assert_eq!(envelope.payload_count(), made.len());
    for ((view, made), whole) in envelope.payloads().zip(&made).zip(&whole) {
        assert_eq!([view.id(), view.dataname()], [&made.texts[0], &made.texts[1]].map(String::as_str));
        assert_eq!(view.payload_type(), PayloadType::from_name(&made.texts[2]));
        assert_eq!(view.metadata().as_json(), json_of(&made.metadata));
        match &made.link {
            Some((url, size)) if *size <= i64::MAX as u64 => {
                assert_eq!(
                    (view.transport(), view.encoding(), view.size()),
                    (Some(Transport::Link), "none", Some(*size))
                );
                assert!(matches!(view.content(), Ok(Content::Link(text)) if text == *url));
            }
            Some(_) => assert!(view.defect().is_some(), "a size beyond 2^63-1 is nobody's"),
            None => {
                assert_eq!((view.transport(), view.encoding()), (Some(Transport::Direct), "base64"));
                let data = view.decode().expect("what was written reads back");
                assert_eq!((data.bytes(), data.size_mismatch()), (&Bytes::copy_from_slice(whole), None));
            }
        }
    }
    // The same input gives the same bytes, from the decoded fields and metadata too.
    let decoded =
        |view: natsbridge::MetadataView<'_>| Metadata::from_json(view.as_json()).expect("it was written");
    let of_message = decoded(envelope.metadata());
    let of_payloads: Vec<_> = envelope.payloads().map(|view| decoded(view.metadata())).collect();
    for (payload, metadata) in payloads.iter_mut().zip(&of_payloads) {
        payload.metadata = Some(metadata);
    }
    let mut again = BytesMut::new();
    let mut copied = MessageFields::from(&envelope);
    copied.metadata = Some(&of_message);
    natsbridge::encode(dialect, &copied, &payloads, &mut again);
    assert_eq!(again, message);
}

fn metadata(source: &mut Source<'_>) -> Option<Metadata> {
    let mut metadata = Metadata::new();
    let mut expected: Vec<(String, String)> = Vec::new();
    for _ in 0..source.below(4) {
        let (key, value) = (source.text(4), source.text(8));
        metadata.insert(key.clone(), &value).expect("a string can be written");
        match expected.iter_mut().find(|(other, _)| *other == key) {
            Some((_, old)) => *old = value,
            None => expected.push((key, value)),
        }
    }
    let pairs: Vec<_> = expected
        .iter()
        .map(|(key, value)| format!("{}:{}", write::string(key), write::string(value)))
        .collect();
    assert_eq!(metadata.to_json(), format!("{{{}}}", pairs.join(",")));
    (!metadata.is_empty()).then_some(metadata)
}

/// The bytes as base64 text: one call, any split and the oracle agree on the result and on the offset of an error, and the
/// `base64` crate on the result. And the bytes as bytes: so do the encoders.
pub(crate) fn base64_split(bytes: &[u8]) {
    let (splits, input) = bytes.split_at(bytes.len().min(4));
    check_decode(input, splits);
    check_encode(input, splits);
    // Most random bytes are no base64, so once more what surely is, with one byte changed.
    let mut text = oracle::base64::encode(input).into_bytes();
    check_decode(&text, splits);
    if let [at, byte, ..] = splits
        && !text.is_empty()
    {
        let at = (usize::from(*at) << 3 ^ usize::from(*byte)) % text.len();
        text[at] = *byte;
        check_decode(&text, splits);
    }
}

/// The pieces between the cuts that `splits` stands for.
fn pieces<'a>(input: &'a [u8], splits: &[u8]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = splits
        .iter()
        .enumerate()
        .map(|(at, &cut)| (usize::from(cut) << (at % 4 * 2)) % (input.len() + 1))
        .collect();
    cuts.extend([0, input.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect()
}

/// Every tier, forced.
pub(crate) fn codecs() -> impl Iterator<Item = Codec> {
    Tier::available().map(|tier| Codec::with_tier(tier).expect("it is available"))
}

/// What the `base64` crate makes of it, which knows one alphabet, one rule for padding, and no line end at a time.
fn decoded_elsewhere(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"\n").map_or(text, |text| text.strip_suffix(b"\r").unwrap_or(text));
    let url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let alphabet = if url_safe { &::base64::alphabet::URL_SAFE } else { &::base64::alphabet::STANDARD };
    [DecodePaddingMode::RequireCanonical, DecodePaddingMode::RequireNone].into_iter().find_map(|padding| {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(padding);
        GeneralPurpose::new(alphabet, config).decode(text).ok()
    })
}

pub(crate) fn check_decode(text: &[u8], splits: &[u8]) {
    let expected = oracle::base64::decode(text);
    assert_eq!(
        decoded_elsewhere(text).as_ref(),
        expected.as_ref().ok(),
        "{:?}",
        String::from_utf8_lossy(text)
    );
    let mut what = None;
    for codec in codecs() {
        let shown = || format!("{:?} by {}", String::from_utf8_lossy(text), codec.tier());
        let mut out = b"kept".to_vec();
        let got = codec.decode_append(text, &mut out);
        assert_eq!(got.map(|()| out[4..].to_vec()).map_err(|error| error.offset), expected, "{}", shown());
        assert_eq!(&out[..4], b"kept");
        assert!(got.is_ok() || out.len() == 4, "a failure leaves nothing behind: {}", shown());
        // The whole error, words included, is the same everywhere.
        assert_eq!(*what.get_or_insert(got), got, "{}", shown());
        let got = got.map(|()| out[4..].to_vec());
        assert_eq!(decode_in_pieces_by(codec, &pieces(text, splits)), got, "{} in pieces", shown());
        // Into a slice of the very size, with a guard behind it.
        let len = expected.as_ref().map_or_else(|_| base64::max_decoded_len(text.len()), Vec::len);
        let mut room = vec![b'#'; len + 64];
        let got_len = codec.decode_into(text, &mut room[..len]);
        assert_eq!(got_len.map(|len| room[..len].to_vec()), got, "{} into a slice", shown());
        assert!(room[len..].iter().all(|&byte| byte == b'#'), "beyond the slice: {}", shown());
    }
}

pub(crate) fn decode_in_pieces_by(codec: Codec, pieces: &[&[u8]]) -> Result<Vec<u8>, Invalid> {
    let mut out = Vec::new();
    let mut decoder = codec.decoder();
    for piece in pieces {
        decoder.update(piece, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

pub(crate) fn check_encode(bytes: &[u8], splits: &[u8]) {
    let expected = oracle::base64::encode(bytes);
    assert_eq!(expected.len(), base64::encoded_len(bytes.len()));
    assert_eq!(expected, STANDARD.encode(bytes), "by the base64 crate");
    for codec in codecs() {
        let tier = codec.tier();
        let mut out = BytesMut::from(&b"kept"[..]);
        codec.encode_append(bytes, &mut out);
        assert_eq!((&out[..4], &out[4..]), (&b"kept"[..], expected.as_bytes()), "by {tier}");
        assert_eq!(encode_in_pieces_by(codec, &pieces(bytes, splits)), expected, "in pieces by {tier}");
        let mut room = vec![b'#'; expected.len() + 64];
        assert_eq!(codec.encode_into(bytes, &mut room[..expected.len()]), expected.len());
        let (text, guard) = room.split_at(expected.len());
        assert_eq!(text, expected.as_bytes(), "into a slice by {tier}");
        assert!(guard.iter().all(|&byte| byte == b'#'), "beyond the slice by {tier}");
    }
}

pub(crate) fn encode_in_pieces_by(codec: Codec, pieces: &[&[u8]]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut encoder = codec.encoder();
    for piece in pieces {
        encoder.update(piece, &mut out);
    }
    encoder.finish(&mut out);
    out
}

/// The bytes as a dictionary's: accepted as the oracle does, and meaning the same; so as a JSON table.
pub(crate) fn dictionary(text: &[u8]) {
    let node = json::parse(text);
    let expected = node.as_ref().and_then(json::meaning);
    let data = PayloadData::new(PayloadType::Dictionary, Bytes::copy_from_slice(text), None, 0);
    match (data.json_value(), &expected) {
        (Ok(value), Some(expected)) => assert!(same(&value, expected), "{value} instead of {expected}"),
        (Err(error), None) => {
            assert_eq!((error.kind(), error.payload()), (ErrorKind::InvalidJson, Some(0)));
            assert!(error.offset().is_some_and(|offset| offset <= text.len() as u64), "{error}");
            assert_eq!(data.json_text().err().and_then(|error| error.offset()), error.offset());
        }
        (got, expected) => panic!("{got:?} instead of {expected:?}"),
    }
    assert_eq!(data.json_text().ok().map(str::as_bytes), expected.as_ref().map(|_| text));
    compare_with_serde_json(text);

    let is_table = node.is_some_and(|node| match node.value {
        json::Value::Array(rows) => rows.iter().all(|row| matches!(row.value, json::Value::Object(_))),
        _ => false,
    });
    let table = PayloadData::new(PayloadType::JsonTable, Bytes::copy_from_slice(text), None, 0);
    assert_eq!(table.json_value().is_ok(), is_table && expected.is_some());
    assert_eq!(table.json_text().is_ok(), is_table && expected.is_some());
}

/// Equal, and floats equal to the bit.
fn same(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (left, right) {
        (Value::Number(left), Value::Number(right)) if left.is_f64() || right.is_f64() => {
            left.is_f64() == right.is_f64()
                && left.as_f64().map(f64::to_bits) == right.as_f64().map(f64::to_bits)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        (left, right) => left == right,
    }
}

/// Sizes and limits from the bytes: planned as the oracle does.
pub(crate) fn plan(bytes: &[u8]) {
    let source = &mut Source::new(bytes);
    let scale = source.pick(&[1, 16, 1 << 12, usize::MAX / 255]);
    let number = |source: &mut Source<'_>| usize::from(source.byte()) * scale;
    let threshold = number(source) as u64;
    let max_payload = (!source.one_in(8)).then(|| number(source).saturating_mul(source.below(16)));
    let base_len = number(source);
    let has_store = !source.one_in(4);
    let items: Vec<oracle::plan::Item> =
        (0..source.below(12)).map(|_| (number(source) as u64, number(source), number(source))).collect();

    let expected = oracle::plan::plan(&items, threshold, max_payload, base_len, has_store);
    let planned: Vec<_> =
        items.iter().map(|&(size, direct, link)| PlanItem::new(size, direct, link)).collect();
    match natsbridge::plan::plan(&planned, &PlanLimits::new(threshold, max_payload, base_len, has_store)) {
        Ok(transports) => {
            let links: Vec<bool> = transports.iter().map(|transport| *transport == Transport::Link).collect();
            check_plan(&items, &links, threshold, max_payload, base_len);
            assert_eq!(Ok(links), expected, "{items:?} {max_payload:?}");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
            let (needed, limit) = expected.expect_err("it can be planned");
            let clamp = |value: u128| Some(u64::try_from(value).unwrap_or(u64::MAX));
            assert_eq!((error.needed(), error.limit()), (clamp(needed), clamp(limit)));
        }
    }
}

/// What a plan promises, without the rule by which it is made: every payload once, large ones by link, a message that
/// fits, and no more promotions than any other choice would need.
fn check_plan(
    items: &[oracle::plan::Item],
    links: &[bool],
    threshold: u64,
    max_payload: Option<usize>,
    base_len: usize,
) {
    assert_eq!(links.len(), items.len());
    let small = |at: &usize| items[*at].0 < threshold;
    assert!((0..items.len()).all(|at| small(&at) || links[at]), "a large payload is direct");
    let promoted = (0..items.len()).filter(small).filter(|&at| links[at]).count();
    let Some(max) = max_payload else { return assert_eq!(promoted, 0) };
    let len = |at: usize, link: bool| if link { items[at].2 } else { items[at].1 } as i128;
    let total = |link: &dyn Fn(usize) -> bool| {
        let entries: i128 = (0..items.len()).map(|at| len(at, link(at))).sum();
        base_len as i128 + items.len().saturating_sub(1) as i128 + entries
    };
    assert!(total(&|at| links[at]) <= max as i128, "the message does not fit");
    // The largest savings first: as few as can do.
    let mut savings: Vec<i128> =
        (0..items.len()).filter(small).map(|at| len(at, false) - len(at, true)).collect();
    savings.sort_unstable();
    let mut left = total(&|at| !small(&at));
    let mut fewest = 0;
    while left > max as i128 {
        left -= savings.pop().expect("all of them fit");
        fewest += 1;
    }
    assert_eq!(promoted, fewest, "promotions");
}
