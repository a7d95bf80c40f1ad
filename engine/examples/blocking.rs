//! Without an async runtime in the program.

use natsbridge::{SmartReceive, SmartSend, blocking};

fn main() -> Result<(), natsbridge::Error> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let fileserver_url =
        std::env::var("NATSBRIDGE_FILESERVER").unwrap_or_else(|_| "http://localhost:8080".into());
    // README
    let envelope = blocking::smartsend(
        "/chat/room1",
        [("message", "Hello World".into(), "text"), ("photo", vec![0u8; 2_000_000].into(), "image")],
        SmartSend::new().nats_url(&nats_url).fileserver_url(&fileserver_url),
    )?;

    // Reads a message's bytes, wherever they come from: here, what was just sent.
    let message = envelope.as_bytes().clone();
    let received = blocking::smartreceive(message, SmartReceive::new().allow_origin(&fileserver_url))?;
    for (dataname, data, type_name) in received.payloads {
        println!("{dataname} ({type_name}): {:?}", data?);
    }
    // README end
    Ok(())
}
