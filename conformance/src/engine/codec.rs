//! Envelopes, base64, payloads, times and plans: what needs no socket.

use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use natsbridge::plan::{PlanItem, PlanLimits};
use natsbridge::{
    Data, Dialect, Envelope, Limits, MessageFields, Metadata, Payload, PayloadData, PayloadFields,
    PayloadType, base64, timestamp,
};
use serde_json::{Value, json};

use super::{Answer, No, bytes, reject, string, tables};
use crate::bytes::{answer_bytes, answer_integer, answer_string, bytes_of, hex, integer_of, string_of};

pub(super) fn envelope_decode(input: &Value, limits: &Value) -> Answer {
    let mut bounds = Limits::default();
    let number =
        |key: &str| limits.get(key).and_then(integer_of).and_then(|value| usize::try_from(value).ok());
    if let Some(most) = number("message_len") {
        bounds = bounds.message_len(most);
    }
    if let Some(most) = number("payload_count") {
        bounds = bounds.payload_count(most);
    }
    let envelope = Envelope::decode_with(bytes(input, "body")?, &bounds)?;
    let mut answer = envelope_answer(&envelope);
    let payloads = envelope.payloads().map(|view| {
        let mut payload = payload_answer(&view);
        let data = match view.url() {
            Some(url) => natsbridge::link::LinkUrl::parse(&url).map(|_| ("url", answer_string(&url))),
            None => view.decode().map(|data| ("bytes", answer_bytes(data.bytes()))),
        };
        match data {
            Ok((key, value)) => payload[key] = value,
            Err(error) => payload["reject"] = reject(&error),
        }
        payload
    });
    answer["payloads"] = payloads.collect();
    Ok(answer)
}

/// An envelope without its payloads.
pub(super) fn envelope_answer(envelope: &Envelope) -> Value {
    json!({
        "dialect": dialect_name(envelope.dialect()),
        "fields": fields(envelope),
        "metadata": metadata(&envelope.metadata()),
    })
}

/// The twelve strings under their snake_case names.
pub(super) fn fields(envelope: &Envelope) -> Value {
    let fields = [
        ("correlation_id", envelope.correlation_id()),
        ("msg_id", envelope.msg_id()),
        ("timestamp", envelope.timestamp()),
        ("send_to", envelope.send_to()),
        ("msg_purpose", envelope.msg_purpose()),
        ("sender_name", envelope.sender_name()),
        ("sender_id", envelope.sender_id()),
        ("receiver_name", envelope.receiver_name()),
        ("receiver_id", envelope.receiver_id()),
        ("reply_to", envelope.reply_to()),
        ("reply_to_msg_id", envelope.reply_to_msg_id()),
        ("broker_url", envelope.broker_url()),
    ];
    fields
        .into_iter()
        .map(|(name, text)| (name.to_owned(), answer_string(text)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A payload without what is behind its `data`.
pub(super) fn payload_answer(view: &natsbridge::PayloadView<'_>) -> Value {
    let transport = view.transport().map_or("", natsbridge::Transport::as_str);
    json!({
        "id": answer_string(view.id()),
        "dataname": answer_string(view.dataname()),
        "type": answer_string(view.type_name()),
        "transport": transport,
        "encoding": answer_string(view.encoding()),
        "size": view.size().map(|size| answer_integer(size.into())),
        "metadata": metadata(&view.metadata()),
    })
}

/// Metadata as a program reads it, or its text where it is read by nobody.
fn metadata(view: &natsbridge::MetadataView<'_>) -> Value {
    let text = view.to_value::<Value>().map_or_else(|_| view.as_json().to_owned(), |value| value.to_string());
    json!({"hex": hex(text.as_bytes())})
}

pub(super) fn dialect_name(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Snake { "snake" } else { "camel" }
}

pub(super) fn dialect_of(input: &Value) -> Dialect {
    if input["dialect"] == "snake" { Dialect::Snake } else { Dialect::Camel }
}

pub(super) fn metadata_of(input: &Value) -> Result<Option<Metadata>, No> {
    let Some(value) = input.get("metadata") else { return Ok(None) };
    let text = bytes_of(value).ok_or_else(|| No::Broken("metadata holds no text".to_owned()))?;
    let text = String::from_utf8(text).map_err(|_| No::Broken("metadata is not UTF-8".to_owned()))?;
    Ok(Some(Metadata::from_json(&text)?))
}

pub(super) fn envelope_encode(input: &Value) -> Answer {
    let texts = |key: &str| string(&input["fields"], key);
    let own = metadata_of(input)?;
    let strings = [
        texts("correlation_id")?,
        texts("msg_id")?,
        texts("timestamp")?,
        texts("send_to")?,
        texts("msg_purpose")?,
        texts("sender_name")?,
        texts("sender_id")?,
        texts("receiver_name")?,
        texts("receiver_id")?,
        texts("reply_to")?,
        texts("reply_to_msg_id")?,
        texts("broker_url")?,
    ];
    let mut fields = MessageFields::default();
    let slots = [
        &mut fields.correlation_id,
        &mut fields.msg_id,
        &mut fields.timestamp,
        &mut fields.send_to,
        &mut fields.msg_purpose,
        &mut fields.sender_name,
        &mut fields.sender_id,
        &mut fields.receiver_name,
        &mut fields.receiver_id,
        &mut fields.reply_to,
        &mut fields.reply_to_msg_id,
        &mut fields.broker_url,
    ];
    for (slot, text) in slots.into_iter().zip(&strings) {
        *slot = text;
    }
    fields.metadata = own.as_ref();

    struct Part {
        strings: [String; 3],
        data: Option<Vec<u8>>,
        url: String,
        size: u64,
        metadata: Option<Metadata>,
    }
    let mut parts = Vec::new();
    for payload in input["payloads"].as_array().into_iter().flatten() {
        parts.push(Part {
            strings: [string(payload, "id")?, string(payload, "dataname")?, string(payload, "type")?],
            data: payload.get("data").and_then(bytes_of),
            url: string(payload, "url")?,
            size: payload
                .get("size")
                .and_then(integer_of)
                .and_then(|size| u64::try_from(size).ok())
                .unwrap_or(0),
            metadata: metadata_of(payload)?,
        });
    }
    if parts.iter().any(|part| part.strings[2].is_empty()) {
        // What `Payload` refuses before the encoder is reached.
        Payload::other("", "", Vec::new())?;
    }
    let payloads: Vec<PayloadFields<'_>> = parts
        .iter()
        .map(|part| {
            let data = match &part.data {
                Some(bytes) => Data::Bytes(bytes),
                None => Data::Link { url: &part.url, size: part.size },
            };
            let [id, dataname, type_name] = &part.strings;
            let mut payload = PayloadFields::new(dataname, type_name, data);
            payload.id = id;
            payload.metadata = part.metadata.as_ref();
            payload
        })
        .collect();
    let dialect = dialect_of(input);
    let mut out = BytesMut::new();
    natsbridge::encode(dialect, &fields, &payloads, &mut out);
    let announced = natsbridge::encoded_len(dialect, &fields, &payloads);
    if announced != out.len() {
        return Err(No::Broken(format!("encoded_len is {announced}, and {} bytes were written", out.len())));
    }
    Ok(json!({"body": answer_bytes(&out)}))
}

/// The pieces between the cuts.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut start = 0;
    let ends = cuts.iter().copied().chain([bytes.len()]);
    ends.map(|end| {
        let end = end.clamp(start, bytes.len());
        let piece = &bytes[start..end];
        start = end;
        piece
    })
    .collect()
}

pub(super) fn base64_encode(data: &[u8], split: Option<&[usize]>) -> Answer {
    let mut out = BytesMut::new();
    match split {
        None => base64::encode_append(data, &mut out),
        Some(cuts) => {
            let mut encoder = base64::Encoder::new();
            pieces(data, cuts).into_iter().for_each(|piece| encoder.update(piece, &mut out));
            encoder.finish(&mut out);
        }
    }
    Ok(json!({"data": answer_bytes(&out)}))
}

pub(super) fn base64_decode(data: &[u8], split: Option<&[usize]>) -> Answer {
    let mut out = Vec::new();
    let decoded = match split {
        None => base64::decode_append(data, &mut out),
        Some(cuts) => {
            let mut decoder = base64::Decoder::new();
            let mut pieces = pieces(data, cuts).into_iter();
            pieces
                .try_for_each(|piece| decoder.update(piece, &mut out))
                .and_then(|()| decoder.finish(&mut out))
        }
    };
    match decoded {
        Ok(()) => Ok(json!({"data": answer_bytes(&out)})),
        Err(invalid) => Err(No::Reject(json!({"kind": "invalid_base64", "offset": invalid.offset}))),
    }
}

pub(super) fn payload_read(input: &Value) -> Answer {
    // Through an envelope, as every payload comes: an empty type is refused there.
    let (type_name, data) = (string(input, "type")?, bytes(input, "data")?);
    let payloads = [PayloadFields::new("x", &type_name, Data::Bytes(&data))];
    let mut message = BytesMut::new();
    natsbridge::encode(Dialect::Camel, &MessageFields::default(), &payloads, &mut message);
    let envelope = Envelope::decode(message.freeze())?;
    let payload = envelope.payload(0).ok_or_else(|| No::Broken("the payload is gone".to_owned()))?;
    read_value(&payload.decode()?)
}

/// A payload as its type reads it.
pub(super) fn read_value(data: &PayloadData) -> Answer {
    let json_hex = |value: Value| json!({"hex": hex(value.to_string().as_bytes())});
    Ok(match data.payload_type() {
        PayloadType::Text => json!({"text": answer_string(data.text()?)}),
        PayloadType::Dictionary => json!({"json": json_hex(data.json_value()?)}),
        _ if data.is_json_rows() => json!({"rows": json_hex(data.json_value()?)}),
        PayloadType::Table => json!({"table": tables::table(&data.table(&Limits::default())?)?}),
        _ => json!({"bytes": answer_bytes(data.bytes())}),
    })
}

pub(super) fn payload_write(input: &Value) -> Answer {
    let type_name = string(input, "type")?;
    let payload = payload_of("x", &type_name, input)?;
    Ok(json!({"data": answer_bytes(&payload.chunks().concat())}))
}

/// A payload to send, of one of `text`, `json`, `rows`, `bytes` and `data`.
pub(super) fn payload_of(dataname: &str, type_name: &str, input: &Value) -> Result<Payload, No> {
    let json_text = |value: &Value| bytes_of(value).ok_or_else(|| No::Broken("no JSON text".to_owned()));
    let payload = if let Some(text) = input.get("text") {
        let text = string_of(text).ok_or_else(|| No::Broken("text is not UTF-8".to_owned()))?;
        if type_name == "text" {
            Payload::text(dataname, text)
        } else {
            Payload::other(type_name.to_owned(), dataname, text)?
        }
    } else if let Some(json) = input.get("json").or_else(|| input.get("rows")) {
        Payload::other(type_name.to_owned(), dataname, json_text(json)?)?
    } else {
        let bytes = input.get("bytes").or_else(|| input.get("data")).and_then(bytes_of);
        Payload::other(
            type_name.to_owned(),
            dataname,
            bytes.ok_or_else(|| No::Broken("no bytes".to_owned()))?,
        )?
    };
    Ok(payload)
}

pub(super) fn timestamp_parse(input: &Value) -> Answer {
    let time = timestamp::parse(&string(input, "text")?);
    let nanos =
        time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_nanos() as i128);
    Ok(json!({"unix_ns": nanos.map(answer_integer)}))
}

pub(super) fn timestamp_write(input: &Value) -> Answer {
    let millis = integer_of(&input["unix_ms"]).unwrap_or_default();
    let since = Duration::from_millis(u64::try_from(millis.unsigned_abs()).unwrap_or(u64::MAX));
    let time = if millis < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    let time = time.ok_or_else(|| No::Broken("no such time".to_owned()))?;
    Ok(json!({"text": timestamp::format(time)}))
}

pub(super) fn plan(input: &Value) -> Answer {
    let number =
        |value: &Value| integer_of(value).and_then(|number| u64::try_from(number).ok()).unwrap_or(u64::MAX);
    let length = |value: &Value| usize::try_from(number(value)).unwrap_or(usize::MAX);
    let items: Vec<PlanItem> = input["payloads"]
        .as_array()
        .into_iter()
        .flatten()
        // A payload that cannot be linked is one whose link is longer than anything.
        .map(|item| {
            PlanItem::new(number(&item["size"]), length(&item["direct_len"]), length(&item["link_len"]))
        })
        .collect();
    let threshold = number(&input["threshold"]);
    let max_payload = (!input["max_payload"].is_null()).then(|| length(&input["max_payload"]));
    let has_store = input["store"].as_bool().unwrap_or_default();
    let limits = PlanLimits::new(threshold, max_payload, length(&input["base_len"]), has_store);
    let transports = natsbridge::plan::plan(&items, &limits).map_err(|error| {
        let mut reject = reject(&error);
        // The one refusal that names a payload is that of the threshold.
        if error.payload().is_some() {
            reject["kind"] = "no_store".into();
        }
        No::Reject(reject)
    })?;
    Ok(json!({"transports": transports.iter().map(|transport| transport.as_str()).collect::<Vec<_>>()}))
}
