//! Every store of this crate passes the test for stores, and does what is its own besides.
#![cfg(all(feature = "fileserver", feature = "nats", feature = "plik"))]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod dav;
mod folder;
mod http;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use natsbridge::fileserver::{FileServer, FileServerBuilder};
use natsbridge::link::testing::StoreTest;
use natsbridge::link::{HandlerStore, Lifetime, Plik};
use natsbridge::{Error, ErrorKind};

/// The files in a folder and below, whatever they are called.
fn count_files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

/// A Plik-compatible server, and the store for it.
async fn plik(server: FileServerBuilder, options: impl FnOnce(Plik) -> Plik) {
    let dir = tempfile::tempdir().unwrap();
    let server = server.dir(dir.path()).start().await.unwrap();
    let store = options(Plik::new(server.url()).unwrap());
    let path = dir.path().to_owned();
    StoreTest::new(store, move || count_files(&path)).secret("PASSWORD").secret("USERTOKEN").run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plik_as_it_comes() {
    plik(FileServer::builder(), |plik| plik.verify_md5(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plik_with_a_user_token_and_a_short_life() {
    let server = FileServer::builder().anonymous_uploads(false).user_token("USERTOKEN".to_owned());
    plik(server, |plik| plik.token("USERTOKEN").lifetime(Lifetime::Keep(Duration::from_secs(120)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plik_with_protected_uploads() {
    plik(FileServer::builder(), |plik| plik.basic_auth("ada", "PASSWORD").protect_uploads()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers() {
    let files = Arc::new(Mutex::new(HashMap::<String, Bytes>::new()));
    let shared = || Arc::clone(&files);
    let (put, get, gone, count) = (shared(), shared(), shared(), shared());
    let next = Arc::new(Mutex::new(0));
    let store = HandlerStore::new()
        .on_upload(move |_, bytes| {
            let mut number = next.lock().unwrap();
            *number += 1;
            let url = format!("http://files.example/{number}");
            put.lock().unwrap().insert(url.clone(), bytes);
            async move { Ok(url) }
        })
        .on_download(move |url| {
            let found = get.lock().unwrap().get(&url).cloned();
            async move { found.ok_or_else(|| Error::new(ErrorKind::LinkGone, "it is not there")) }
        })
        .on_delete(move |url| {
            gone.lock().unwrap().remove(&url);
            async { Ok(()) }
        });
    StoreTest::new(store, move || count.lock().unwrap().len()).run().await;
}
