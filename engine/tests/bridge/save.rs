//! Payloads as files and as streams, and what downloads of one bridge share.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use natsbridge::bridge::BridgeBuilder;
use natsbridge::link::{HttpTimeouts, Origin, PayloadReader, Policy, Retry};
use natsbridge::{Bridge, ErrorKind, Limits, Message, Verification};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::nats::NatsServer;
use crate::scripted::{Scripted, ok, response};
use crate::{kind, noise};

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A message with one link, as if it had arrived.
fn message(bridge: &Bridge, url: &str, body: &[u8]) -> Message {
    let text = format!(
        "{{\"payloads\":[{{\"dataname\":\"f\",\"type\":\"binary\",\"transport\":\"link\",\"data\":\"{url}\",\
         \"size\":{},\"metadata\":{{\"sha256\":\"{}\"}}}}]}}",
        body.len(),
        hex(body)
    );
    read(bridge, text)
}

/// A message as if it had arrived.
pub(crate) fn read(bridge: &Bridge, text: String) -> Message {
    let message = async_nats::Message {
        subject: "links".into(),
        reply: None,
        payload: text.into(),
        headers: None,
        status: None,
        description: None,
        length: 0,
    };
    bridge.read(message).unwrap()
}

fn builder() -> BridgeBuilder {
    Bridge::builder()
        .policy(Policy::none().allow_any().allow_private())
        .retry(Retry::default().max_retries(1).base_delay(Duration::from_millis(1)))
}

async fn receiver(nats: &NatsServer) -> Bridge {
    builder().connect(nats.url()).await.unwrap()
}

/// A file server: sends the body, the whole of it to everybody, and after `slow_from` bytes waits until it is told.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(body: Vec<u8>, pause_at: usize, pause: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/file/SECRET", listener.local_addr().unwrap());
        let (requests, at_once, most_at_once) =
            <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let counters = (Arc::clone(&requests), Arc::clone(&at_once), Arc::clone(&most_at_once));
        let body = Arc::new(body);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (requests, at_once, most_at_once) = counters.clone();
                let body = Arc::clone(&body);
                tokio::spawn(async move {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                    most_at_once.fetch_max(now, Ordering::SeqCst);
                    let _: std::io::Result<()> = async {
                        let mut request = vec![0; 4096];
                        let _ = stream.read(&mut request).await?;
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                        stream.write_all(head.as_bytes()).await?;
                        stream.write_all(&body[..pause_at]).await?;
                        // Whoever goes away in the meantime is noticed.
                        let gone =
                            async { while stream.read(&mut request).await.is_ok_and(|count| count > 0) {} };
                        if tokio::time::timeout(pause, gone).await.is_ok() {
                            return Ok(());
                        }
                        stream.write_all(&body[pause_at..]).await?;
                        stream.shutdown().await
                    }
                    .await;
                    at_once.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { url, requests, at_once, most_at_once, task }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Waits until nobody is connected.
    async fn idle(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.at_once.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < deadline, "somebody is still connected");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_saved_whole_and_verified_whichever_way_it_came() {
    let nats = NatsServer::start();
    let body = noise(1, 3_000_000);
    let server = Server::start(body.clone(), 0, Duration::ZERO).await;
    let bridge = receiver(&nats).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "what was there before").unwrap();

    let link = message(&bridge, &server.url, &body);
    let link = link.payload("f").unwrap();
    let saved = link.save(&path).await.unwrap();
    assert_eq!((saved.len, saved.verification, saved.size_mismatch), (3_000_000, Verification::Digest, None));
    assert_eq!(saved.sha256[..], Sha256::digest(&body)[..]);
    assert!(fs::read(&path).unwrap() == body);
    assert_eq!(names(dir.path()), ["f"]);

    assert_eq!(kind(link.save(&path).keep_existing().await), ErrorKind::SaveFailed);
    link.save(dir.path().join("g")).keep_existing().await.unwrap();

    let text =
        r#"{"payloads":[{"dataname":"t","type":"text","transport":"direct","data":"aGVsbG8=","size":7}]}"#;
    let direct = read(&bridge, text.to_owned());
    let saved = direct.payload("t").unwrap().save(&path).await.unwrap();
    assert_eq!((saved.len, saved.verification, saved.size_mismatch), (5, Verification::Inline, Some(7)));
    assert_eq!(fs::read(&path).unwrap(), b"hello");
    assert_eq!(names(dir.path()), ["f", "g"]);

    for path in ["no/such/folder/f", "g"].map(|path| dir.path().join(path)) {
        let outcome = direct.payload("t").unwrap().save(&path).keep_existing().await;
        assert_eq!(kind(outcome), ErrorKind::SaveFailed, "{path:?}");
    }
    assert_eq!(kind(direct.payload("t").unwrap().save("..").await), ErrorKind::Misuse);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_is_saved_without_fetching_it_again() {
    let nats = NatsServer::start();
    let body = noise(1, 1000);
    let server = Server::start(body.clone(), 0, Duration::ZERO).await;
    let bridge = receiver(&nats).await;
    let message = message(&bridge, &server.url, &body);
    let payload = message.payload("f").unwrap();
    let data = payload.fetch().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let saved = payload.save(&path).fetched(&data).await.unwrap();
    assert_eq!((&saved.path, saved.len, saved.verification), (&path, 1000, Verification::Digest));
    assert_eq!(saved.sha256[..], Sha256::digest(&body)[..]);
    assert!(fs::read(&path).unwrap() == body);
    // Where it goes is decided as ever.
    assert_eq!(kind(payload.save(&path).keep_existing().fetched(&data).await), ErrorKind::SaveFailed);
    let other = dir.path().join("g");
    let saved = payload.save(&path).or_else(move |_| other.clone()).fetched(&data).await.unwrap();
    assert_eq!((saved.path, names(dir.path())), (dir.path().join("g"), vec!["f".to_owned(), "g".to_owned()]));
    assert_eq!(server.requests(), 1);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_not_replaced_and_nothing_is_fetched_for_it() {
    use std::os::unix::fs::FileTypeExt as _;

    let nats = NatsServer::start();
    let body = noise(1, 1000);
    let server = Server::start(body.clone(), 0, Duration::ZERO).await;
    let bridge = receiver(&nats).await;
    let dir = tempfile::tempdir().unwrap();
    let (pipe, folder) = (dir.path().join("pipe"), dir.path().join("folder"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::create_dir(&folder).unwrap();
    let message = message(&bridge, &server.url, &body);
    for path in [&pipe, &folder] {
        assert_eq!(kind(message.payload("f").unwrap().save(path).await), ErrorKind::SaveFailed, "{path:?}");
    }
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo() && folder.is_dir());
    assert_eq!(server.requests(), 0);
    // A link is replaced itself, whatever is behind it.
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    message.payload("f").unwrap().save(&link).await.unwrap();
    assert!(fs::read(&link).unwrap() == body && fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_handed_over_or_left_behind_before_the_verdict() {
    let nats = NatsServer::start();
    let bridge = receiver(&nats).await;
    let half = response("200 OK", "Content-Length: 5\r\n", "hel");
    for (answer, expected) in [
        (half, ErrorKind::LinkTruncated),
        (ok("HELLO"), ErrorKind::DigestMismatch),
        (ok("hello, and more"), ErrorKind::DigestMismatch),
        (ok("hel"), ErrorKind::LinkTruncated),
        (response("404 Not Found", "Content-Length: 0\r\n", ""), ErrorKind::LinkGone),
        (response("500 Oops", "Content-Length: 0\r\n", ""), ErrorKind::LinkUnavailable),
    ] {
        let server = Scripted::start(answer, false).await;
        let message = message(&bridge, &format!("{}/file/SECRET", server.url), b"hello");
        let payload = message.payload("f").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "before").unwrap();
        let error = payload.save(&path).await.unwrap_err();
        assert_eq!((error.kind(), error.payload()), (expected, Some(0)));
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
        assert_eq!((fs::read(&path).unwrap(), names(dir.path())), (b"before".to_vec(), vec!["f".to_owned()]));

        // A reader hands bytes out and takes them back with its last word, and says so again when asked again.
        let error = match payload.reader().await {
            Err(error) => error,
            Ok(mut reader) => {
                let mut bytes = Vec::new();
                let error = reader.read_to_end(&mut bytes).await.unwrap_err();
                assert!(!bytes.is_empty());
                let again = reader.read(&mut [0; 8]).await.unwrap_err();
                assert_eq!(PayloadReader::error_of(&again).unwrap().kind(), expected);
                assert_eq!(reader.verification(), None);
                error.downcast().unwrap()
            }
        };
        assert_eq!((error.kind(), error.payload()), (expected, Some(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_waiting_leaves_nothing_behind() {
    let nats = NatsServer::start();
    let body = noise(2, 2_000_000);
    let server = Server::start(body.clone(), 1_500_000, Duration::from_secs(3600)).await;
    let bridge = receiver(&nats).await;
    let message = message(&bridge, &server.url, &body);
    let payload = message.payload("f").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let outcome = tokio::time::timeout(Duration::from_millis(500), payload.save(&path)).await;
    assert!(outcome.is_err());
    server.idle().await;
    assert!(names(dir.path()).is_empty());

    let mut reader = payload.reader().await.unwrap();
    let mut some = vec![0; 1_000_000];
    reader.read_exact(&mut some).await.unwrap();
    assert!(some == body[..1_000_000]);
    assert_eq!(reader.position(), 1_000_000);
    drop(reader);
    server.idle().await;
    assert_eq!(server.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_has_the_bytes_and_the_verdict() {
    let nats = NatsServer::start();
    let body = noise(3, 3_000_000);
    let server = Server::start(body.clone(), 0, Duration::ZERO).await;
    let bridge = receiver(&nats).await;
    let message = message(&bridge, &server.url, &body);
    let mut reader = message.payload("f").unwrap().reader().await.unwrap();
    let mut bytes = Vec::new();
    assert_eq!(reader.verification(), None);
    reader.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes == body);
    assert_eq!((reader.verification(), reader.position()), (Some(Verification::Digest), 3_000_000));

    let text = r#"{"payloads":[{"dataname":"t","type":"text","transport":"direct","data":"aGVsbG8="}]}"#;
    let direct = read(&bridge, text.to_owned());
    let mut reader = direct.payload("t").unwrap().reader().await.unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), reader.verification()), ("hello", Some(Verification::Inline)));
}

/// What each connection in turn is answered.
async fn in_turn(answers: Vec<String>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_behind_what_it_has_handed_out_if_that_is_still_the_same() {
    let nats = NatsServer::start();
    let bridge = receiver(&nats).await;
    let cut = |text: &str| response("200 OK", "Content-Length: 10\r\n", text);
    for (second, expected) in [
        ("0123456789", Ok("0123456789")),
        // The beginning is another one, the end would be right; and the other way round.
        ("****456789", Err(ErrorKind::DigestMismatch)),
        ("0123******", Err(ErrorKind::DigestMismatch)),
        ("01", Err(ErrorKind::LinkTruncated)),
    ] {
        let url = in_turn(vec![cut("0123"), cut(second)]).await;
        let message = message(&bridge, &url, b"0123456789");
        let mut reader = message.payload("f").unwrap().reader().await.unwrap();
        let mut text = String::new();
        match (reader.read_to_string(&mut text).await, expected) {
            (Ok(_), Ok(whole)) => assert_eq!(text, whole),
            (Err(error), Err(kind)) => {
                assert_eq!(PayloadReader::error_of(&error).unwrap().kind(), kind, "{second}");
            }
            other => panic!("{second}: {other:?}"),
        }
    }
    // A file begins again, for nobody has seen its beginning.
    let url = in_turn(vec![cut("****"), cut("0123456789")]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    message(&bridge, &url, b"0123456789").payload("f").unwrap().save(&path).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_link_is_fetched_once_for_all_who_want_it_at_the_same_time() {
    let nats = NatsServer::start();
    let body = noise(4, 500_000);
    let server = Server::start(body.clone(), 100, Duration::from_millis(500)).await;
    let bridge = receiver(&nats).await;
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let message = message(&bridge, &server.url, &body);
            (number, tokio::spawn(async move { message.payload("f").unwrap().bytes().await }))
        })
        .collect();
    // The server is waiting with the rest, and everybody with it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    tasks.iter().filter(|(number, _)| number % 4 == 0).for_each(|(_, task)| task.abort());
    for (number, task) in tasks {
        match task.await {
            Ok(bytes) => assert!(bytes.unwrap() == body),
            Err(error) => assert!(error.is_cancelled() && number % 4 == 0),
        }
    }
    assert_eq!(server.requests(), 1);
    // Another expectation is another download; so is a later one.
    let other = message(&bridge, &server.url, b"something else");
    assert_eq!(kind(other.payload("f").unwrap().bytes().await), ErrorKind::DigestMismatch);
    message(&bridge, &server.url, &body).payload("f").unwrap().bytes().await.unwrap();
    assert_eq!(server.requests(), 3);

    // The last who waits takes the download with it.
    let message = message(&bridge, &server.url, &body);
    let payload = message.payload("f").unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), payload.bytes()).await.is_err());
    server.idle().await;
    assert_eq!(server.requests(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_saves_what_was_verified() {
    let nats = NatsServer::start();
    let body = noise(5, 500_000);
    let server = Server::start(body.clone(), 0, Duration::ZERO).await;
    let bridge = builder().download_cache(1_000_000).connect(nats.url()).await.unwrap();
    let message = message(&bridge, &server.url, &body);
    let payload = message.payload("f").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    for _ in 0..3 {
        assert!(payload.bytes().await.unwrap() == body);
        assert_eq!(payload.save(&path).await.unwrap().verification, Verification::Digest);
        assert!(fs::read(&path).unwrap() == body);
        let mut reader = payload.reader().await.unwrap();
        tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.unwrap();
    }
    assert_eq!(server.requests(), 1);

    // What is in memory already is no longer for that.
    let limits = Limits::default().save_len(499_999);
    let bridge = builder().limits(limits).download_cache(1_000_000).connect(nats.url()).await.unwrap();
    let message = self::message(&bridge, &server.url, &body);
    let payload = message.payload("f").unwrap();
    payload.bytes().await.unwrap();
    assert_eq!(kind(payload.save(dir.path().join("g")).await), ErrorKind::LimitExceeded);
    assert_eq!(kind(payload.reader().await), ErrorKind::LimitExceeded);
    assert_eq!(dir.path().read_dir().unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_wait_for_the_memory_of_others() {
    let nats = NatsServer::start();
    let body = noise(6, 1_000_000);
    let server = Server::start(body.clone(), 10, Duration::from_millis(100)).await;
    let bridge = builder().download_bytes(8 << 20).connect(nats.url()).await.unwrap();
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            // Each a link of its own: the same would be fetched once.
            let message = message(&bridge, &format!("{}/{number}", server.url), &body);
            tokio::spawn(async move { message.payload("f").unwrap().bytes().await.map(|bytes| bytes.len()) })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 1_000_000);
    }
    // The server notices a little later than the bridge that one has ended.
    let most = server.most_at_once.load(Ordering::SeqCst);
    assert!((2..=16).contains(&most), "{most} at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_wide_allowance_go_only_where_it_reaches() {
    let nats = NatsServer::start();
    let server = Server::start(b"hello".to_vec(), 0, Duration::ZERO).await;
    let policy = Policy::none().allow_any();
    let bridge = Bridge::builder().policy(policy.clone()).connect(nats.url()).await.unwrap();
    let error = message(&bridge, &server.url, b"hello").payload("f").unwrap().bytes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LinkRefused);
    assert!(error.to_string().contains("allow_private()"), "{error}");
    assert_eq!(server.requests(), 0);
    let origin = Origin::parse(server.url.split("/file").next().unwrap()).unwrap();
    let bridge = Bridge::builder().policy(policy.allow_origin(origin)).connect(nats.url()).await.unwrap();
    message(&bridge, &server.url, b"hello").payload("f").unwrap().bytes().await.unwrap();
    assert_eq!(server.requests(), 1);
}

/// The next test, which starts its receivers as processes of this program that run it too.
const RECEIVER: &str = "save::a_receiver_that_is_killed_leaves_no_half_file_under_the_name";
/// What makes it a receiver: the broker, the link and where to save it, a line each.
const RECEIVER_TASK: &str = "NATSBRIDGE_TEST_RECEIVER";

/// What such a process does.
fn receive(task: &str) {
    let [nats, url, path] = task.lines().collect::<Vec<_>>().try_into().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let bridge = builder().http_timeouts(HttpTimeouts::default()).connect(nats).await.unwrap();
        message(&bridge, url, &noise(7, 4_000_000)).payload("f").unwrap().save(path).await.unwrap();
    });
}

fn receiver_process(nats: &NatsServer, url: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([RECEIVER, "--exact"])
        .env(RECEIVER_TASK, format!("{}\n{url}\n{}", nats.url(), path.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer; a child that is too slow is killed.
fn wait_for<T>(child: &mut Child, what: &str, mut ask: impl FnMut(&mut Child) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask(child) {
            return answer;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{what}: not within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The child's connection, whose request has been read.
fn accept(listener: &TcpListener, child: &mut Child) -> std::net::TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut stream = wait_for(child, "a connection", |child| {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "instead of asking for the file the receiver has ended: {ended:?}");
        match listener.accept() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            accepted => Some(accepted.unwrap().0),
        }
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut request = [0; 4096];
    assert!(stream.read(&mut request).unwrap() > 0);
    stream
}

#[test]
fn a_receiver_that_is_killed_leaves_no_half_file_under_the_name() {
    if let Ok(task) = std::env::var(RECEIVER_TASK) {
        return receive(&task);
    }
    let nats = NatsServer::start();
    let body = noise(7, 4_000_000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    for kill_at in [0, 100, 1_000_000, 3_999_999] {
        let mut child = receiver_process(&nats, &url, &path);
        let mut stream = accept(&listener, &mut child);
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(&body[..kill_at]).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!path.exists(), "killed after {kill_at} bytes");
    }
    // What a system without unnamed files would have left is taken by the next run.
    fs::write(dir.path().join(".natsbridge-1-0.part"), "half").unwrap();
    let mut child = receiver_process(&nats, &url, &path);
    let mut stream = accept(&listener, &mut child);
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(&body).unwrap();
    drop(stream);
    let ended = wait_for(&mut child, "the receiver's end", |child| child.try_wait().unwrap());
    assert!(ended.success());
    assert!(fs::read(&path).unwrap() == body);
    assert_eq!(names(dir.path()), ["f"]);
}
