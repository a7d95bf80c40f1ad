//! The folder store: what a link can lead to, and what a receiver without the store makes of it.

use std::time::Duration;

use natsbridge::ErrorKind;
use natsbridge::link::testing::StoreTest;
use natsbridge::link::{FolderStore, LinkStore, LinkUrl, Policy, Upload};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::open(dir.path().join("new/links")).unwrap();
    let folder = dir.path().join("new/links");
    // One file is the folder's id.
    StoreTest::new(store, move || crate::count_files(&folder) - 1).run().await;
}

#[tokio::test]
async fn a_folder_is_shared_and_no_other_folder_is() {
    let dir = tempfile::tempdir().unwrap();
    let sender = FolderStore::open(dir.path()).unwrap();
    let uploaded = sender.upload(Upload::new("a", "hello")).await.unwrap();
    let receiver = FolderStore::open(dir.path()).unwrap();
    let mut download = receiver.download(uploaded.url()).await.unwrap();
    assert_eq!(download.chunk().await.unwrap().unwrap(), "hello");

    let other_dir = tempfile::tempdir().unwrap();
    let other = FolderStore::open(other_dir.path()).unwrap();
    assert_eq!(other.download(uploaded.url()).await.unwrap_err().kind(), ErrorKind::LinkRejected);
    assert_eq!(other.delete(uploaded.handle()).await.unwrap_err().kind(), ErrorKind::Misuse);
    // A bridge asks its policy first, which allows the store's own folder only.
    let allowed = |store: &FolderStore| {
        store.origins().into_iter().fold(Policy::none(), Policy::allow_origin).check(uploaded.url())
    };
    allowed(&receiver).unwrap();
    assert_eq!(allowed(&other).unwrap_err().kind(), ErrorKind::LinkRefused);
    assert!(uploaded.url().origin().host().ends_with(".invalid"), "a name that never resolves");
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::open(dir.path()).unwrap();
    let uploaded = store.upload(Upload::new("a", "hello world")).await.unwrap();
    let first = store.download(uploaded.url()).await.unwrap();
    let validator = first.validator().unwrap().to_owned();
    for (from, validator, offset, text) in [
        (6, validator.as_str(), 6, "world"),
        (12, &validator, 0, "hello world"),
        (6, "another", 0, "hello world"),
    ] {
        let mut rest = store.resume(uploaded.url(), from, validator).await.unwrap();
        assert_eq!((rest.offset(), rest.length()), (offset, Some(11)));
        assert_eq!(rest.chunk().await.unwrap().unwrap(), text);
        assert_eq!(rest.chunk().await.unwrap(), None);
    }
    let mut end = store.resume(uploaded.url(), 11, &validator).await.unwrap();
    assert_eq!((end.offset(), end.chunk().await.unwrap()), (11, None));
}

#[tokio::test]
async fn no_link_leads_out_of_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let store = FolderStore::open(dir.path().join("links")).unwrap();
    std::fs::write(dir.path().join("links/beside"), "beside").unwrap();
    for path in [
        "",
        "../secret",
        "..%2Fsecret",
        "../secret/x",
        "beside",
        "beside/x",
        "natsbridge-folder/x",
        "%2e%2e/secret",
        "0123456789abcdef0123456789abcdef-never",
        "0123456789abcdef0123456789abcdef-never%2F..%2Fbeside/x",
    ] {
        let url = LinkUrl::parse(&format!("{}/{path}", store.origin())).unwrap();
        assert_eq!(store.download(&url).await.unwrap_err().kind(), ErrorKind::LinkRejected, "{path}");
    }
    let id = store.origin().host().split('.').next().unwrap().to_owned();
    for handle in ["", "x", "../secret", &format!("{id}/../secret"), &format!("{id}/beside")] {
        assert_eq!(store.delete(handle).await.unwrap_err().kind(), ErrorKind::Misuse, "{handle}");
    }
    assert!(dir.path().join("secret").exists() && dir.path().join("links/beside").exists());
}

#[tokio::test]
async fn what_has_expired_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::open(dir.path()).unwrap().lifetime(Duration::ZERO);
    let expired = store.upload(Upload::new("a", "hello")).await.unwrap();
    assert_eq!(store.download(expired.url()).await.unwrap_err().kind(), ErrorKind::LinkGone);
    let kept = store.lifetime(None).upload(Upload::new("b", "hello")).await.unwrap();
    assert_eq!(kept.expires_at(), None);
    // The next one to open the folder clears it up.
    let store = FolderStore::open(dir.path()).unwrap();
    assert_eq!(crate::count_files(dir.path()), 2, "the folder's id, and what never expires");
    assert!(store.download(kept.url()).await.is_ok());
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("links");
    let store = FolderStore::open(&folder).unwrap();
    store.upload(Upload::new("a", "hello")).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}
