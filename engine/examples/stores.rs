//! Where large payloads can go: Plik with TLS of one's own, a WebDAV folder, presigned URLs, a folder of this machine.

use std::sync::Arc;
use std::time::Duration;

use natsbridge::Bridge;
use natsbridge::link::{CleanupRecord, FolderStore, HttpStore, LinkStore, Plik, SignedUrls, TlsOptions};

// README
fn stores() -> natsbridge::Result<Vec<Arc<dyn LinkStore>>> {
    let tls = TlsOptions::new()
        .root_certificate_file("/etc/natsbridge/ca.pem")? // beside the system's
        .client_certificate_files("/etc/natsbridge/client.pem", "/etc/natsbridge/client.key")?;
    let plik = Plik::new("https://files.example.org")?.tls(tls);

    let webdav = HttpStore::new()
        .upload_to("https://dav.example.org/links/{id}-{name}")? // PUT, GET, HEAD and DELETE
        .basic_auth("ada", "secret")
        .lifetime(Duration::from_secs(86_400)); // what receivers are told; deleting is the server's business

    let signed = HttpStore::new().upload_signed(|name, _len| async move {
        // Where a program would ask its signing service for URLs:
        let url = format!("https://bucket.example.org/{name}?signature=…");
        SignedUrls::new(&url, &url)?.delete(&url)
    });

    let folder = FolderStore::open("/var/lib/natsbridge/links")?;
    Ok(vec![Arc::new(plik), Arc::new(webdav), Arc::new(signed), Arc::new(folder)])
}

async fn sender(store: Plik) -> natsbridge::Result<Bridge> {
    Bridge::builder()
        .store(store)
        // If this program is killed, `natsbridge gc` or its next start deletes what it was uploading.
        .upload_record(CleanupRecord::file("/var/lib/natsbridge/uploads.jsonl")?)
        .connect("nats://localhost:4222")
        .await
}
// README end

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for store in stores()? {
        println!("{store:?}");
    }
    let bridge = sender(Plik::new("http://localhost:8080")?).await?;
    bridge.send("/chat/room1").binary("large_file", vec![42u8; 20_000_000]).await?;
    bridge.drain().await?;
    Ok(())
}
