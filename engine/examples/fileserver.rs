//! The embedded file server, until it is interrupted:
//! `cargo run --example fileserver --features fileserver [ADDRESS]`, by default 127.0.0.1:8080.

use natsbridge::fileserver::FileServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    // README
    let server = FileServer::builder().listen(address.parse()?).start().await?;
    println!("files go to {}", server.url());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await; // running transfers may finish; then the files are deleted
    // README end
    Ok(())
}
