//! The codec and the planner without NATS, HTTP or a runtime: `cargo run --example codec_only --no-default-features`.

use bytes::BytesMut;
use natsbridge::plan::{PlanItem, PlanLimits, plan};
use natsbridge::{
    Data, Dialect, Envelope, Error, MessageFields, Payload, PayloadFields, encode, encoded_len,
};

fn main() -> Result<(), Error> {
    // README
    let config = Payload::dictionary("config", &serde_json::json!({"update_interval": 60}))?;

    let mut fields = MessageFields::default();
    fields.correlation_id = "c-1"; // ids and the time are the caller's: the same input gives the same bytes
    fields.send_to = "/device/config";
    let payloads = [
        PayloadFields::new("greeting", "text", Data::Bytes(b"Hello")),
        PayloadFields::new(config.dataname(), config.type_name(), config.direct()),
    ];
    let mut out = BytesMut::new(); // or one that is used again for every message
    encode(Dialect::Camel, &fields, &payloads, &mut out);

    let envelope = Envelope::decode(out.freeze())?; // views into the bytes: nothing is decoded yet
    for payload in envelope.payloads() {
        println!("{} ({}): {:?}", payload.dataname(), payload.type_name(), payload.decode()?.bytes());
    }
    // README end

    println!(
        "{} bytes, as announced: {}",
        envelope.as_bytes().len(),
        encoded_len(Dialect::Camel, &fields, &payloads)
    );
    // 900,000 bytes are below the threshold, but base64 makes them too many for a stock server.
    let items = [PlanItem::new(5, 150, 300), PlanItem::new(900_000, 1_200_150, 300)];
    println!("{:?}", plan(&items, &PlanLimits::new(1_000_000, Some(1_048_576), 400, true))?);
    Ok(())
}
