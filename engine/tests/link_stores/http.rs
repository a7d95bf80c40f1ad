//! The plain HTTP store: templates, signed URLs, credentials, and servers that do not keep what they are sent.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use natsbridge::link::testing::StoreTest;
use natsbridge::link::{HttpStore, LinkStore, LinkUrl, SignedUrls, Source, Upload};
use natsbridge::{Error, ErrorKind};

use crate::dav::{Dav, Manners};

/// `ada:PASSWORD`
const BASIC: &str = "Basic YWRhOlBBU1NXT1JE";

fn store(dav: &Dav) -> HttpStore {
    HttpStore::new().upload_to(&format!("{}/links/{{id}}-{{name}}", dav.origin)).unwrap()
}

fn text_of(error: &Error) -> String {
    format!("{error} {error:?} {:?}", error.source())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webdav_folder() {
    let dav = Dav::start(Manners { authorization: Some(BASIC.to_owned()), ..Manners::default() }).await;
    let store = store(&dav).basic_auth("ada", "PASSWORD").lifetime(Duration::from_secs(3600));
    StoreTest::new(store, dav.counter()).secret("PASSWORD").secret(BASIC).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn post_with_a_token_and_links_of_another_form() {
    let manners = Manners {
        authorization: Some("Bearer TOKEN".to_owned()),
        header: Some(("x-api-key".to_owned(), "APIKEY".to_owned())),
        put_status: Some("200 OK"),
        ..Manners::default()
    };
    let dav = Dav::start(manners).await;
    let link = format!("{}/x/{{id}}", dav.origin);
    let store = HttpStore::new()
        .upload_to(&link)
        .and_then(|store| store.download_from(&link)?.delete_at(&link)?.header("X-Api-Key", "APIKEY"))
        .unwrap()
        .bearer_token("TOKEN")
        .post();
    StoreTest::new(store, dav.counter()).secret("TOKEN").secret("APIKEY").run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_urls() {
    let manners = Manners { header: Some(("x-signed".to_owned(), "yes".to_owned())), ..Manners::default() };
    let dav = Dav::start(manners).await;
    let origin = dav.origin.clone();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let store =
        HttpStore::new().check_length(true).basic_auth("ada", "PASSWORD").upload_signed(move |_, _| {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let url = format!("{origin}/bucket/{number}?signature=SIGNATURE");
            async move {
                let later = SystemTime::now() + Duration::from_secs(600);
                Ok(SignedUrls::new(&url, &url)?.delete(&url)?.header("X-Signed", "yes")?.expires_at(later))
            }
        });
    StoreTest::new(store, dav.counter()).secret("SIGNATURE").secret("PASSWORD").run().await;
    // The password is for the store's own templates, and a signed URL is none of them.
    assert!(dav.requests().iter().all(|request| !request.headers.contains_key("authorization")));
}

#[tokio::test]
async fn an_upload_goes_out_as_it_should() {
    let dav = Dav::start(Manners::default()).await;
    let store = store(&dav).lifetime(Duration::from_secs(60));
    let uploaded = store.upload(Upload::new("../my report.pdf", "hello")).await.unwrap();
    let id = &dav.paths()[0][7..39];
    assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(uploaded.url().as_str(), format!("{}/links/{id}-my%20report.pdf", dav.origin));
    assert_eq!(uploaded.url().as_str().len(), store.max_url_len("../my report.pdf"));
    let left = uploaded.expires_at().unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(30), "{left:?}");
    store.delete(uploaded.handle()).await.unwrap();

    let stream = futures_util::stream::iter([Ok::<_, Error>("hel"), Ok("lo")]);
    store.upload(Upload::from_source("b", Source::stream(stream, None))).await.unwrap();
    let requests = dav.requests();
    let methods: Vec<_> = requests.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(methods, ["PUT", "HEAD", "DELETE", "PUT", "HEAD"]);
    assert_eq!(requests[0].headers["content-length"], "5");
    assert_eq!(requests[0].headers["content-type"], "application/octet-stream");
    assert_eq!(requests[3].headers["transfer-encoding"], "chunked");
    assert!(!requests[3].headers.contains_key("content-length"));
}

#[tokio::test]
async fn what_was_not_stored_whole_is_an_error_and_deleted() {
    let dav = Dav::start(Manners { forget: 1, ..Manners::default() }).await;
    let error = store(&dav).upload(Upload::new("a", "hello")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UploadUnavailable, "{error}");
    assert!(error.to_string().contains("4 bytes instead of 5"), "{error}");
    assert!(dav.paths().is_empty());
    // Nobody looks where it was asked not to.
    store(&dav).check_length(false).upload(Upload::new("a", "hello")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_for_the_length_is_not_trusted_with_it() {
    let dav = Dav::start(Manners { no_head: true, ..Manners::default() }).await;
    let error = store(&dav).upload(Upload::new("a", "hello")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UploadRejected);
    assert!(error.to_string().contains("check_length"), "{error}");
    assert!(dav.paths().is_empty());
    store(&dav).check_length(false).upload(Upload::new("a", "hello")).await.unwrap();
}

#[tokio::test]
async fn only_an_answer_that_says_stored_is_success() {
    use ErrorKind::*;
    for (status, expected) in [
        ("200 OK", None),
        ("201 Created", None),
        ("204 No Content", None),
        ("202 Accepted", Some(UploadRejected)),
        ("207 Multi-Status", Some(UploadRejected)),
        ("301 Moved Permanently", Some(UploadRejected)),
        ("403 Forbidden", Some(UploadRejected)),
        ("409 Conflict", Some(UploadRejected)),
        ("429 Too Many Requests", Some(UploadUnavailable)),
        ("503 Service Unavailable", Some(UploadUnavailable)),
        ("507 Insufficient Storage", Some(UploadUnavailable)),
    ] {
        let dav = Dav::start(Manners { put_status: Some(status), ..Manners::default() }).await;
        let outcome = store(&dav).upload(Upload::new("a", "hello")).await;
        assert_eq!(outcome.err().map(|error| error.kind()), expected, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_repeats_no_secret() {
    let dav = Dav::start(Manners { authorization: Some(BASIC.to_owned()), ..Manners::default() }).await;
    let error =
        store(&dav).basic_auth("ada", "WRONGPASSWORD").upload(Upload::new("a", "b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UploadRejected);
    let text = text_of(&error);
    assert!(text.contains("is not the password for"), "{text}");
    let encoded = "YWRhOldST05HUEFTU1dPUkQ=";
    assert!(!text.contains("/links/") && !text.contains(encoded) && !text.contains("WRONG"), "{text}");
}

#[tokio::test]
async fn credentials_stay_with_their_server() {
    let own = Dav::start(Manners::default()).await;
    let other = Dav::start(Manners::default()).await;
    let store = store(&own).basic_auth("ada", "PASSWORD");
    let url = LinkUrl::parse(&format!("{}/x", other.origin)).unwrap();
    assert_eq!(store.download(&url).await.unwrap_err().kind(), ErrorKind::LinkGone);
    assert!(!other.requests()[0].headers.contains_key("authorization"));
    // Nor is anything deleted elsewhere.
    assert_eq!(store.delete(url.as_str()).await.unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(store.delete("no URL").await.unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn a_store_that_was_told_no_place_only_downloads() {
    let store = HttpStore::new();
    assert_eq!(store.upload(Upload::new("a", "b")).await.unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(store.delete("http://h/x").await.unwrap_err().kind(), ErrorKind::Misuse);
    assert!(store.origins().is_empty());
    for outcome in [
        HttpStore::new().download_from("http://h/{id}"),
        HttpStore::new().without_delete(),
        HttpStore::new().header("a b", "c"),
        HttpStore::new().header("a", "b\r\nc"),
    ] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Misuse);
    }
}

#[tokio::test]
async fn signed_links_have_a_longest_length() {
    let dav = Dav::start(Manners::default()).await;
    let url = format!("{}/{}", dav.origin, "x".repeat(100));
    let sign = move |_: String, len: Option<u64>| {
        assert_eq!(len, Some(5));
        let url = url.clone();
        async move { SignedUrls::new(&url, &url) }
    };
    let store = HttpStore::new().upload_signed(sign).max_url_bytes(100);
    let error = store.upload(Upload::new("a", "hello")).await.unwrap_err();
    assert_eq!((error.kind(), error.limit()), (ErrorKind::UploadRejected, Some(100)));
    assert!(dav.requests().is_empty());
}
