//! Retries, limits and verification of downloads, over a scripted store and in simulated time.
#![cfg(any(feature = "plik", feature = "nats"))]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use natsbridge::link::{
    Body, BoxFuture, Download, Expected, FetchOptions, LinkStore, LinkUrl, Retry, Upload, Uploaded, Verified,
    fetch,
};
use natsbridge::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// What one try meets.
enum Try {
    /// The download cannot even begin.
    Fails(Error),
    /// It announces a length, sends these pieces, and ends or fails.
    Sends(Option<u64>, Vec<&'static [u8]>, Option<ErrorKind>),
    /// Nothing ever happens.
    Answers(Download),
    Hangs,
}

#[derive(Debug)]
struct Scripted {
    tries: Mutex<VecDeque<Try>>,
    begun: Mutex<Vec<Instant>>,
}

impl std::fmt::Debug for Try {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Try")
    }
}

impl Scripted {
    fn new(tries: impl IntoIterator<Item = Try>) -> Self {
        Self { tries: Mutex::new(tries.into_iter().collect()), begun: Mutex::default() }
    }

    fn tries(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    async fn fetch(&self, expected: &Expected, options: &FetchOptions) -> Result<natsbridge::link::Fetched> {
        fetch(self, &LinkUrl::parse("http://files/SECRET").unwrap(), expected, options).await
    }
}

struct Pieces(VecDeque<&'static [u8]>, Option<ErrorKind>);

impl Body for Pieces {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(async {
            match (self.0.pop_front(), self.1) {
                (Some(piece), _) => Ok(Some(Bytes::from_static(piece))),
                (None, Some(kind)) => Err(Error::new(kind, "as the script says")),
                (None, None) => Ok(None),
            }
        })
    }
}

impl LinkStore for Scripted {
    fn upload(&self, _: Upload) -> BoxFuture<'_, Result<Uploaded>> {
        unreachable!("nothing is uploaded here")
    }

    fn download<'a>(&'a self, _: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
        Box::pin(async {
            self.begun.lock().unwrap().push(Instant::now());
            let next = self.tries.lock().unwrap().pop_front().expect("no further try was expected");
            match next {
                Try::Fails(error) => Err(error),
                Try::Sends(length, pieces, end) => Ok(Download::new(length, Pieces(pieces.into(), end))),
                Try::Answers(download) => Ok(download),
                Try::Hangs => std::future::pending().await,
            }
        })
    }

    fn max_url_len(&self, _: &str) -> usize {
        0
    }
}

/// A part of a file of five bytes.
fn part(offset: u64, name: &str, bytes: &'static [u8], end: Option<ErrorKind>) -> Try {
    let pieces = Pieces([bytes].into(), end);
    Try::Answers(Download::new(Some(5), pieces).starting_at(offset).with_validator(name))
}

fn sends(pieces: &[&'static [u8]]) -> Try {
    Try::Sends(Some(pieces.iter().map(|piece| piece.len() as u64).sum()), pieces.to_vec(), None)
}

fn fails(kind: ErrorKind) -> Try {
    Try::Fails(Error::new(kind, "as the script says"))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn once() -> FetchOptions {
    FetchOptions::default().retry(Retry::never())
}

#[tokio::test(start_paused = true)]
async fn what_is_proved_is_what_the_message_gives() {
    let sha = digest(b"hello");
    for (expected, verified, mismatch) in [
        (Expected::nothing(), Verified::Unverified, false),
        (Expected::nothing().size(0), Verified::Unverified, false),
        (Expected::nothing().size(5), Verified::Length, false),
        (Expected::nothing().sha256(sha), Verified::Digest, false),
        (Expected::nothing().size(5).sha256(sha), Verified::Digest, false),
        (Expected::nothing().size(4).sha256(sha), Verified::Digest, true),
        (Expected::nothing().size(6).sha256(sha), Verified::Digest, true),
    ] {
        let store = Scripted::new([sends(&[b"he", b"", b"llo"])]);
        let fetched = store.fetch(&expected, &once()).await.unwrap();
        assert_eq!(fetched.bytes, "hello");
        assert_eq!(fetched.bytes.as_ptr() as usize % 64, 0);
        assert_eq!((fetched.verified, fetched.size_mismatch, fetched.attempts), (verified, mismatch, 1));
        assert_eq!(fetched.sha256.is_some(), expected.sha256.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_file_is_only_joined_if_it_is_of_that_file() {
    for (name, tries) in [("first", 2), ("other", 3)] {
        let rest = part(2, name, b"llo", None);
        let store =
            Scripted::new([part(0, "first", b"he", Some(ErrorKind::Network)), rest, sends(&[b"whole"])]);
        let options = FetchOptions::default().retry(Retry::resilient());
        let fetched = store.fetch(&Expected::nothing(), &options).await.unwrap();
        assert_eq!(fetched.bytes, if name == "first" { "hello" } else { "whole" });
        assert_eq!(store.tries(), tries);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_begins_in_the_middle_of_its_own_accord_is_not_asked_again() {
    let store = Scripted::new([part(2, "first", b"llo", None)]);
    let options = FetchOptions::default().retry(Retry::resilient());
    let error = store.fetch(&Expected::nothing(), &options).await.unwrap_err();
    assert_eq!((error.kind(), store.tries()), (ErrorKind::LinkRejected, 1));
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_is_proved_by_the_digest_of_nothing() {
    let store = Scripted::new([sends(&[])]);
    let fetched = store.fetch(&Expected::nothing().size(0).sha256(digest(b"")), &once()).await.unwrap();
    assert_eq!((fetched.bytes.len(), fetched.verified, fetched.size_mismatch), (0, Verified::Digest, false));
}

#[tokio::test(start_paused = true)]
async fn a_digest_can_be_computed_without_being_expected() {
    let store = Scripted::new([sends(&[b"hello"])]);
    let fetched = store.fetch(&Expected::nothing(), &once().hash(true)).await.unwrap();
    assert_eq!(fetched.sha256, Some(digest(b"hello")));
    assert_eq!(fetched.verified, Verified::Unverified);
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_are_never_handed_over() {
    use ErrorKind::*;
    let none = Expected::nothing();
    let sha = none.sha256(digest(b"hello"));
    let unannounced = |pieces: &[&'static [u8]]| Try::Sends(None, pieces.to_vec(), None);
    for (name, script, expected, kind, retried) in [
        ("shorter than its length", Try::Sends(Some(6), vec![b"hello"], None), none, LinkTruncated, true),
        ("longer than its length", Try::Sends(Some(4), vec![b"hello"], None), none, LinkTooLong, false),
        ("announced shorter than size", Try::Sends(Some(5), vec![], None), none.size(6), LinkTruncated, true),
        ("announced longer than size", Try::Sends(Some(5), vec![], None), none.size(4), LinkTooLong, false),
        ("shorter than size", unannounced(&[b"hell"]), none.size(5), LinkTruncated, true),
        ("longer than size", unannounced(&[b"hello", b"!"]), none.size(5), LinkTooLong, false),
        ("another digest", sends(&[b"hullo"]), sha, DigestMismatch, false),
        ("another digest, right size", sends(&[b"hullo"]), sha.size(5), DigestMismatch, false),
        ("another digest, too short", sends(&[b"hell"]), sha.size(5), LinkTruncated, true),
        ("another digest, too long", sends(&[b"hello!"]), sha.size(5), DigestMismatch, false),
        ("cut short", Try::Sends(None, vec![b"he"], Some(LinkTruncated)), none, LinkTruncated, true),
        ("empty instead of a file", sends(&[]), none.size(1), LinkTruncated, true),
    ] {
        let store = Scripted::new([script, fails(LinkGone)]);
        let options = FetchOptions::default().retry(Retry::default().max_retries(1));
        let error = store.fetch(&expected, &options).await.unwrap_err();
        if retried {
            assert_eq!((error.kind(), error.attempts(), store.tries()), (LinkGone, Some(2), 2), "{name}");
        } else {
            assert_eq!((error.kind(), error.attempts(), store.tries()), (kind, Some(1), 1), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_tried_again() {
    use ErrorKind::*;
    for kind in [Network, TimedOut, LinkUnavailable, LinkTruncated] {
        let store = Scripted::new([fails(kind), fails(kind), sends(&[b"x"])]);
        let fetched = store.fetch(&Expected::nothing(), &FetchOptions::default()).await.unwrap();
        assert_eq!((fetched.attempts, store.tries()), (3, 3), "{kind:?}");
    }
    for kind in [LinkGone, LinkRejected, LinkRefused, DigestMismatch, LinkTooLong, LimitExceeded, Misuse, Bug]
    {
        let store = Scripted::new([fails(kind)]);
        let error = store.fetch(&Expected::nothing(), &FetchOptions::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts(), store.tries()), (kind, Some(1), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn retries_wait_as_scheduled_and_end() {
    let store = Scripted::new((0..6).map(|_| fails(ErrorKind::Network)));
    let options = FetchOptions::default().seed(7);
    let error = store.fetch(&Expected::nothing(), &options).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, Some(6)));
    assert!(!format!("{error} {error:?}").contains("SECRET"));
    let begun = store.begun.lock().unwrap().clone();
    for (n, pair) in begun.windows(2).enumerate() {
        let wait = options.retry.delay(n as u32 + 1, 7, None).unwrap();
        let waited = pair[1] - pair[0];
        // The timer's resolution is a millisecond.
        assert!(waited >= wait && waited <= wait + Duration::from_millis(2), "{n}: {waited:?}, not {wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_gets_it() {
    let busy = || {
        Try::Fails(Error::new(ErrorKind::LinkUnavailable, "busy").with_retry_after(Duration::from_secs(3)))
    };
    let store = Scripted::new([busy(), sends(&[b"x"])]);
    let start = Instant::now();
    store.fetch(&Expected::nothing(), &FetchOptions::default()).await.unwrap();
    assert!((3000..3010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused_before_memory_is_taken() {
    let options = once().max_len(4);
    let sha = Expected::nothing().sha256(digest(b"hello"));
    for (script, expected, tries) in [
        (None, Expected::nothing().size(5), 0),
        (None, Expected::nothing().size(u64::MAX), 0),
        (Some(Try::Sends(Some(u64::MAX), vec![], None)), sha, 1),
        (Some(sends(&[b"hello"])), Expected::nothing(), 1),
        (Some(Try::Sends(None, vec![b"he", b"ll", b"o"], None)), sha, 1),
    ] {
        let store = Scripted::new(script);
        let error = store.fetch(&expected, &options).await.unwrap_err();
        assert_eq!((error.kind(), error.limit(), store.tries()), (ErrorKind::LimitExceeded, Some(4), tries));
        assert!(error.needed() > Some(4));
    }
    let store = Scripted::new([sends(&[b"hell"])]);
    assert_eq!(store.fetch(&Expected::nothing().size(4), &options).await.unwrap().bytes, "hell");
}

#[tokio::test(start_paused = true)]
async fn unverified_links_can_be_refused_unfetched() {
    let options = once().refuse_unverified(true);
    for expected in [Expected::nothing(), Expected::nothing().size(0)] {
        let error = Scripted::new([]).fetch(&expected, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LinkUnverified);
    }
    for expected in [Expected::nothing().size(1), Expected::nothing().sha256(digest(b"x"))] {
        Scripted::new([sends(&[b"x"])]).fetch(&expected, &options).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_total_bounds_tries_and_waits_together() {
    let start = Instant::now();
    let options = FetchOptions::default().total(Duration::from_secs(2));
    let store = Scripted::new([fails(ErrorKind::Network), Try::Hangs]);
    let error = store.fetch(&Expected::nothing(), &options).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::TimedOut, Some(2)));
    assert!(error.to_string().contains("total of 2s"), "{error}");
    assert!((2000..2010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());

    // The real error, at once, rather than a wait that cannot end in time.
    let busy = Error::new(ErrorKind::LinkUnavailable, "busy").with_retry_after(Duration::from_secs(4));
    let start = Instant::now();
    let error = Scripted::new([Try::Fails(busy)]).fetch(&Expected::nothing(), &options).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::LinkUnavailable, Duration::ZERO));

    let options = FetchOptions::default().total(Duration::MAX);
    Scripted::new([sends(&[b"x"])]).fetch(&Expected::nothing(), &options).await.unwrap();
}

#[tokio::test]
async fn a_large_download_arrives_whole_and_aligned() {
    static PIECE: [u8; 100_000] = [7; 100_000];
    for announced in [None, Some(40_000_000)] {
        let store = Scripted::new([Try::Sends(announced, vec![&PIECE; 400], None)]);
        let fetched = store.fetch(&Expected::nothing().size(40_000_000), &once()).await.unwrap();
        assert_eq!(fetched.bytes.len(), 40_000_000);
        assert_eq!(fetched.bytes.as_ptr() as usize % 64, 0);
        assert!(fetched.bytes.iter().all(|&byte| byte == 7));
    }
}
