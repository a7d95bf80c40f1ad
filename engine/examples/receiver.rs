//! Receives everything that is said in a chat room, until it is interrupted.
//!
//! What is no text goes to the folder `received`, which is made where the program is started.

use futures_util::StreamExt;
use natsbridge::bridge::ReceivedPayload;
use natsbridge::link::Plik;
use natsbridge::{Bridge, PayloadType};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let fileserver_url =
        std::env::var("NATSBRIDGE_FILESERVER").unwrap_or_else(|_| "http://localhost:8080".into());
    receive(&nats_url, &fileserver_url).await
}

// README
async fn receive(nats_url: &str, fileserver_url: &str) -> Result<(), Box<dyn std::error::Error>> {
    // Links to this file server may be fetched, all others are refused.
    let bridge = Bridge::builder().store(Plik::new(fileserver_url)?).connect(nats_url).await?;
    let mut messages = bridge.subscribe("/chat/room1").await?;
    println!("listening");

    while let Some(message) = messages.next().await {
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                eprintln!("not a message: {error}"); // the subscription goes on
                continue;
            }
        };
        println!("--- {} from {}", message.msg_purpose(), message.sender_name());
        for payload in message.payloads() {
            // A payload that cannot be had does not take the others with it.
            if let Err(error) = show(&payload).await {
                eprintln!("{:?}: {error}", payload.dataname());
            }
        }
    }
    Ok(())
}

async fn show(payload: &ReceivedPayload<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let data = payload.fetch().await?; // decoded from the message, or downloaded and verified
    let name = payload.dataname();
    match data.payload_type() {
        PayloadType::Text => println!("{name}: {}", data.text()?),
        PayloadType::Dictionary | PayloadType::JsonTable => println!("{name}: {}", data.json_value()?),
        PayloadType::Table => {
            let rows: usize = data.record_batches()?.iter().map(|batch| batch.num_rows()).sum();
            println!("{name}: a table of {rows} rows");
        }
        _ => {
            // The name was chosen by the sender: never use it as a path as it is.
            let safe: String = name.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            let path = format!("received/{}-{safe}.bin", payload.index());
            std::fs::create_dir_all("received")?;
            std::fs::write(&path, data.bytes())?;
            println!("{name}: {} bytes of {}, saved as {path}", data.bytes().len(), payload.type_name());
        }
    }
    Ok(())
}
// README end
