//! The two calls of every port: with a Plik file server, and with functions of one's own in its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use natsbridge::{Bridge, Error, ErrorKind, SmartReceive, SmartSend, smartreceive, smartsend};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let fileserver_url =
        std::env::var("NATSBRIDGE_FILESERVER").unwrap_or_else(|_| "http://localhost:8080".into());

    let client = async_nats::connect(&nats_url).await?;
    let mut messages = client.subscribe("/chat/smart").await?;
    // A round trip, after which the server has the subscription: `smartsend` uses a connection of its own.
    Bridge::from_client(client.clone()).flush().await?;

    // README
    let envelope = smartsend(
        "/chat/smart",
        [
            ("message", "Hello World".into(), "text"),
            ("config", json!({"update_interval": 60}).into(), "dictionary"),
            ("video", vec![0u8; 2_000_000].into(), "video"),
        ],
        SmartSend::new().nats_url(&nats_url).fileserver_url(&fileserver_url).sender_name("user-1"),
    )
    .await?;
    println!("sent, correlation id {}", envelope.correlation_id());

    let message = messages.next().await.ok_or("the connection was closed")?;
    let received = smartreceive(message, SmartReceive::new().allow_origin(&fileserver_url)).await?;
    println!("from {}", received.sender_name());
    for (dataname, data, type_name) in received.payloads {
        println!("{dataname} ({type_name}): {:?}", data?);
    }
    // README end

    own_handlers(&nats_url, &mut messages).await
}

/// Any file server will do: here it is a map in memory.
async fn own_handlers(
    nats_url: &str,
    messages: &mut async_nats::Subscriber,
) -> Result<(), Box<dyn std::error::Error>> {
    let files: Arc<Mutex<HashMap<String, Bytes>>> = Arc::default();

    let shelf = Arc::clone(&files);
    let upload = move |name: String, bytes: Bytes| {
        let url = format!("http://shelf.example/{name}");
        lock(&shelf).insert(url.clone(), bytes);
        async { Ok(url) }
    };
    let download = move |url: String| {
        let found = lock(&files).get(&url).cloned();
        async move { found.ok_or_else(|| Error::new(ErrorKind::LinkGone, "not on the shelf")) }
    };

    let payloads = [("report", vec![1u8; 1_500_000].into(), "binary")];
    let options = SmartSend::new().nats_url(nats_url).fileserver_upload_handler(upload);
    smartsend("/chat/smart", payloads, options).await?;

    let message = messages.next().await.ok_or("the connection was closed")?;
    let received = smartreceive(message, SmartReceive::new().fileserver_download_handler(download)).await?;
    for (dataname, data, _) in received.payloads {
        println!("{dataname}, from the shelf: {:?}", data?);
    }
    Ok(())
}

fn lock(files: &Mutex<HashMap<String, Bytes>>) -> std::sync::MutexGuard<'_, HashMap<String, Bytes>> {
    files.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
