//! The matrix: each fault in each phase, both directions, both stores, and what must become of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use natsbridge::bridge::BridgeBuilder;
use natsbridge::fileserver::{FileServer, Lie, ServerFault};
use natsbridge::link::{HttpTimeouts, Lifetime, LinkStore, LinkUrl, Origin, Plik, Retry, Upload};
use natsbridge::{Bridge, Error, ErrorKind};
use sha2::{Digest, Sha256};

use crate::capture;
use crate::proxy::{Fault, FullPort, Phase, Plan, Proxy, closed_port};
use crate::server::{Files, PlainServer};
use crate::{Context, Report, hex, noise};

/// What a cell must end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    /// The exact bytes arrive.
    Succeed,
    /// The send or the download fails with this kind.
    Fail(ErrorKind),
    /// The sender cannot notice, and the receiver finds out.
    BeFoundOut,
    /// There is no such cell.
    NotBe,
}

use Must::{BeFoundOut, NotBe, Succeed};
use Phase::{AfterBody, Connect, RequestBody, RequestHead, ResponseBody, ResponseHead};

const NETWORK: Must = Must::Fail(ErrorKind::Network);
const TIMED_OUT: Must = Must::Fail(ErrorKind::TimedOut);
const CUT: Must = Must::Fail(ErrorKind::LinkTruncated);
const NOT_TAKEN: Must = Must::Fail(ErrorKind::UploadRejected);
const DAMAGED: Must = Must::Fail(ErrorKind::UploadUnavailable);
const REFUSED: Must = Must::Fail(ErrorKind::LinkRejected);
const CHANGED: Must = Must::Fail(ErrorKind::DigestMismatch);

const LATENCY: Fault = Fault::Latency(Duration::from_millis(80));
const BANDWIDTH: Fault = Fault::Bandwidth(2_000_000);
const SLICING: Fault = Fault::Slicing(701);
const DRIP: Fault = Fault::Drip(Duration::from_millis(60));

/// A row: the phase, the fault with its name, and what becomes of an upload to Plik and to a plain server, and of a download
/// from each.
type Row = (Phase, &'static str, Fault, [Must; 4]);

#[rustfmt::skip]
const MATRIX: &[Row] = &[
    //                                                          upload                   download
    //                                                          Plik        HTTP         Plik       HTTP
    (Connect,      "latency",   LATENCY,                        [Succeed,   Succeed,     Succeed,   Succeed]),
    (Connect,      "stall",     Fault::Stall { after: 0 },      [TIMED_OUT, TIMED_OUT,   TIMED_OUT, TIMED_OUT]),
    (Connect,      "reset",     Fault::Reset { after: 0 },      [NETWORK,   NETWORK,     NETWORK,   NETWORK]),
    (Connect,      "close",     Fault::Close { after: 0 },      [NETWORK,   NETWORK,     NETWORK,   NETWORK]),
    (Connect,      "refused",   Fault::Flip { at: 0 },          [NETWORK,   NETWORK,     NETWORK,   NETWORK]),

    (RequestHead,  "latency",   LATENCY,                        [Succeed,   Succeed,     Succeed,   Succeed]),
    (RequestHead,  "bandwidth", Fault::Bandwidth(10_000),       [Succeed,   Succeed,     Succeed,   Succeed]),
    (RequestHead,  "slicing",   Fault::Slicing(3),              [Succeed,   Succeed,     Succeed,   Succeed]),
    (RequestHead,  "stall",     Fault::Stall { after: 20 },     [TIMED_OUT, TIMED_OUT,   TIMED_OUT, TIMED_OUT]),
    (RequestHead,  "drip",      DRIP,                           [TIMED_OUT, TIMED_OUT,   TIMED_OUT, TIMED_OUT]),
    (RequestHead,  "reset",     Fault::Reset { after: 20 },     [NETWORK,   NETWORK,     NETWORK,   NETWORK]),
    (RequestHead,  "close",     Fault::Close { after: 0 },      [NETWORK,   NETWORK,     NETWORK,   NETWORK]),
    (RequestHead,  "cut",       Fault::Close { after: 20 },     [NETWORK,   NETWORK,     NETWORK,   NETWORK]),
    (RequestHead,  "flip",      Fault::Flip { at: 0 },          [NOT_TAKEN, NOT_TAKEN,   REFUSED,   REFUSED]),

    (RequestBody,  "latency",   LATENCY,                        [Succeed,   Succeed,     NotBe,     NotBe]),
    (RequestBody,  "bandwidth", BANDWIDTH,                      [Succeed,   Succeed,     NotBe,     NotBe]),
    (RequestBody,  "slicing",   SLICING,                        [Succeed,   Succeed,     NotBe,     NotBe]),
    (RequestBody,  "stall",     Fault::Stall { after: 9_999 },  [TIMED_OUT, TIMED_OUT,   NotBe,     NotBe]),
    (RequestBody,  "drip",      DRIP,                           [TIMED_OUT, TIMED_OUT,   NotBe,     NotBe]),
    (RequestBody,  "reset",     Fault::Reset { after: 9_999 },  [NETWORK,   NETWORK,     NotBe,     NotBe]),
    (RequestBody,  "close",     Fault::Close { after: 0 },      [NETWORK,   NETWORK,     NotBe,     NotBe]),
    (RequestBody,  "cut",       Fault::Close { after: 9_999 },  [NETWORK,   NETWORK,     NotBe,     NotBe]),
    // Plik is asked for its MD5 here; a plain server has nothing to compare.
    (RequestBody,  "flip",      Fault::Flip { at: 9_999 },      [DAMAGED,   BeFoundOut,  NotBe,     NotBe]),

    (ResponseHead, "latency",   LATENCY,                        [Succeed,   Succeed,     Succeed,   Succeed]),
    (ResponseHead, "bandwidth", Fault::Bandwidth(10_000),       [Succeed,   Succeed,     Succeed,   Succeed]),
    (ResponseHead, "slicing",   Fault::Slicing(3),              [Succeed,   Succeed,     Succeed,   Succeed]),
    (ResponseHead, "stall",     Fault::Stall { after: 20 },     [TIMED_OUT, TIMED_OUT,   TIMED_OUT, TIMED_OUT]),
    (ResponseHead, "drip",      DRIP,                           [TIMED_OUT, TIMED_OUT,   TIMED_OUT, TIMED_OUT]),
    (ResponseHead, "reset",     Fault::Reset { after: 20 },     [NETWORK,   NETWORK,     NETWORK,   NETWORK]),
    (ResponseHead, "close",     Fault::Close { after: 0 },      [NETWORK,   NETWORK,     NETWORK,   NETWORK]),
    (ResponseHead, "cut",       Fault::Close { after: 20 },     [NETWORK,   NETWORK,     NETWORK,   NETWORK]),
    (ResponseHead, "flip",      Fault::Flip { at: 0 },          [NOT_TAKEN, NOT_TAKEN,   REFUSED,   REFUSED]),

    // What a plain server says about an upload beyond the status is not read.
    (ResponseBody, "latency",   LATENCY,                        [Succeed,   Succeed,     Succeed,   Succeed]),
    (ResponseBody, "bandwidth", BANDWIDTH,                      [Succeed,   Succeed,     Succeed,   Succeed]),
    (ResponseBody, "slicing",   SLICING,                        [Succeed,   Succeed,     Succeed,   Succeed]),
    (ResponseBody, "stall",     Fault::Stall { after: 9 },      [TIMED_OUT, Succeed,     TIMED_OUT, TIMED_OUT]),
    (ResponseBody, "drip",      DRIP,                           [TIMED_OUT, Succeed,     TIMED_OUT, TIMED_OUT]),
    (ResponseBody, "reset",     Fault::Reset { after: 9 },      [NETWORK,   Succeed,     CUT,       CUT]),
    (ResponseBody, "close",     Fault::Close { after: 0 },      [NETWORK,   Succeed,     CUT,       CUT]),
    (ResponseBody, "cut",       Fault::Close { after: 9 },      [NETWORK,   Succeed,     CUT,       CUT]),
    (ResponseBody, "flip",      Fault::Flip { at: 0 },          [NOT_TAKEN, Succeed,     CHANGED,   CHANGED]),

    // The answer is whole: what its connection does then is no error any more.
    (AfterBody,    "latency",   LATENCY,                        [Succeed,   Succeed,     Succeed,   Succeed]),
    (AfterBody,    "stall",     Fault::Stall { after: 0 },      [Succeed,   Succeed,     Succeed,   Succeed]),
    (AfterBody,    "drip",      DRIP,                           [Succeed,   Succeed,     Succeed,   Succeed]),
    (AfterBody,    "reset",     Fault::Reset { after: 0 },      [Succeed,   Succeed,     Succeed,   Succeed]),
    (AfterBody,    "close",     Fault::Close { after: 0 },      [Succeed,   Succeed,     Succeed,   Succeed]),
    (AfterBody,    "flip",      Fault::Flip { at: 0 },          [Succeed,   Succeed,     Succeed,   Succeed]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Plik,
    Http,
}

const COLUMNS: [(Direction, Store); 4] = [
    (Direction::Up, Store::Plik),
    (Direction::Up, Store::Http),
    (Direction::Down, Store::Plik),
    (Direction::Down, Store::Http),
];

/// One thing to be tried out.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) name: String,
    direction: Direction,
    store: Store,
    phase: Phase,
    fault: Fault,
    /// At every connection, or at the first one alone.
    always: bool,
    must: Must,
    /// Whether a download goes into a file rather than into memory.
    save: bool,
    /// What the file server does wrong, and how often; then the proxy does nothing.
    scripted: Option<(ServerFault, u32)>,
    one_shot: bool,
}

/// All cells; about every third one for a quick run, which still has each row and each column: see [`sample`].
pub(crate) fn cells(quick: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (row, &(phase, fault_name, fault, musts)) in MATRIX.iter().enumerate() {
        let columns: Vec<_> =
            musts.into_iter().zip(COLUMNS).enumerate().filter(|(_, (must, _))| *must != NotBe).collect();
        // Every third of the cells that there are, from one on that there is: so no row goes without.
        let first = row % columns.len().min(3);
        for (at, (column, (must, (direction, store)))) in columns.into_iter().enumerate() {
            let name = format!("{direction:?} {store:?} {phase:?} {fault_name}");
            let save = (row + column) % 2 == 0;
            let cell = Cell {
                name,
                direction,
                store,
                phase,
                fault,
                always: true,
                must,
                save,
                scripted: None,
                one_shot: false,
            };
            // Ports that are full or closed stay so.
            let lasting = phase == Connect && matches!(fault, Fault::Stall { .. } | Fault::Flip { .. });
            let retried = matches!(must, Must::Fail(kind) if kind.is_retryable());
            if retried && !lasting {
                let name = format!("{} once", cell.name);
                let once = Cell { name, always: false, must: Succeed, save: !save, ..cell.clone() };
                if !quick || (row + column) % 4 == 1 {
                    cells.push(once);
                }
            }
            if !quick || at % 3 == first {
                cells.push(cell);
            }
        }
    }
    cells.extend(
        scripted().into_iter().enumerate().filter(|(at, _)| !quick || at % 2 == 0).map(|(_, cell)| cell),
    );
    cells
}

/// Whether the quick run has a cell of each row and of each column, by the cells' names.
pub(crate) fn sample() -> Result<String, String> {
    let cells = cells(true);
    let rows = MATRIX.iter().map(|(phase, fault, ..)| format!("{phase:?} {fault}"));
    let columns = COLUMNS.iter().map(|(direction, store)| format!("{direction:?} {store:?} "));
    let no_cell = |name: &String| {
        !cells.iter().any(|cell| cell.name.starts_with(name.as_str()) || cell.name.ends_with(name.as_str()))
    };
    let missing: Vec<_> = rows.chain(columns).filter(no_cell).collect();
    if missing.is_empty() {
        Ok(format!("{} cells, of {} rows and {} columns", cells.len(), MATRIX.len(), COLUMNS.len()))
    } else {
        Err(format!("no cell of {missing:?}"))
    }
}

/// What a Plik can do wrong without any network: the fault, how often, the direction, and what becomes of it.
fn scripted() -> Vec<Cell> {
    use Direction::{Down, Up};
    const EVER: u32 = u32::MAX;
    let lie = ServerFault::Lie;
    let other = |key, value: &str| ServerFault::Lie(Lie::Other(key, value.into()));
    let drip = ServerFault::Drip { bytes: 10, pause: Duration::from_millis(50) };
    let rows: Vec<(&str, ServerFault, u32, Direction, Must)> = vec![
        ("a length too large", ServerFault::LengthTooLarge(5), EVER, Down, CUT),
        ("a length too large, once", ServerFault::LengthTooLarge(5), 1, Down, Succeed),
        ("a length too small", ServerFault::LengthTooSmall(5), EVER, Down, CUT),
        ("no length", ServerFault::NoLength, EVER, Down, Succeed),
        ("a turned bit", ServerFault::FlippedBit(199_999), EVER, Down, CHANGED),
        // Shorter than the file, it could as well be a file cut short: it is asked for again, in vain.
        ("a page in place of the file", ServerFault::Page, EVER, Down, CUT),
        ("a page in place of the file, once", ServerFault::Page, 1, Down, Succeed),
        ("a redirect", ServerFault::Redirect("http://127.0.0.1:1/elsewhere".into()), EVER, Down, REFUSED),
        ("a slow drip", drip, EVER, Down, TIMED_OUT),
        ("500", ServerFault::Unavailable, EVER, Down, Must::Fail(ErrorKind::LinkUnavailable)),
        ("500, once", ServerFault::Unavailable, 1, Down, Succeed),
        ("500", ServerFault::UploadUnavailable, EVER, Up, DAMAGED),
        ("500, once", ServerFault::UploadUnavailable, 1, Up, Succeed),
        ("another size", lie(Lie::FileSize), EVER, Up, DAMAGED),
        ("another size, once", lie(Lie::FileSize), 1, Up, Succeed),
        ("another MD5", lie(Lie::Md5), EVER, Up, DAMAGED),
        ("no file id", lie(Lie::Missing("id")), EVER, Up, NOT_TAKEN),
        ("no file name", lie(Lie::Missing("fileName")), EVER, Up, NOT_TAKEN),
        ("no size", lie(Lie::Missing("fileSize")), EVER, Up, NOT_TAKEN),
        ("no upload token", lie(Lie::Missing("uploadToken")), EVER, Up, NOT_TAKEN),
        ("not JSON", lie(Lie::NotJson), EVER, Up, NOT_TAKEN),
        ("two megabytes", lie(Lie::Huge), EVER, Up, NOT_TAKEN),
        ("an id that is a path", other("id", "../../upload"), EVER, Up, NOT_TAKEN),
        ("a huge id", other("id", &"x".repeat(4000)), EVER, Up, NOT_TAKEN),
        ("a size in words", other("fileSize", "many"), EVER, Up, NOT_TAKEN),
        ("a token with a line end", other("uploadToken", "a\r\nX-Evil: 1"), EVER, Up, NOT_TAKEN),
        ("a download domain that is none", other("downloadDomain", "ftp://example"), EVER, Up, NOT_TAKEN),
    ];
    let cell = |name: String, scripted, direction, must, always| Cell {
        name,
        direction,
        store: Store::Plik,
        phase: ResponseBody,
        fault: LATENCY,
        always,
        must,
        save: true,
        scripted: Some(scripted),
        one_shot: false,
    };
    let mut cells: Vec<Cell> = rows
        .into_iter()
        .map(|(name, fault, times, direction, must)| {
            cell(format!("{direction:?} Plik {name}"), (fault, times), direction, must, times == EVER)
        })
        .collect();
    // The first download, broken off, was the only one.
    let name = "Down Plik one shot, broken off, then 404".to_owned();
    let gone = Must::Fail(ErrorKind::LinkGone);
    let broken_off = cell(name, (ServerFault::LengthTooLarge(5), 1), Down, gone, false);
    cells.push(Cell { one_shot: true, ..broken_off });
    cells
}

/// Where the files are.
enum Server {
    Plik { server: FileServer, dir: tempfile::TempDir },
    Http { server: PlainServer, files: Arc<Files> },
}

impl Server {
    async fn start(store: Store, scripted: Option<(ServerFault, u32)>) -> Self {
        match store {
            Store::Plik => {
                let dir = tempfile::tempdir().unwrap();
                let mut builder = FileServer::builder().dir(dir.path());
                if let Some((fault, times)) = scripted {
                    builder = builder.fault(fault, times);
                }
                Self::Plik { server: builder.start().await.unwrap(), dir }
            }
            Store::Http => {
                let files = Arc::new(Files::default());
                Self::Http { server: PlainServer::start(&files).await, files }
            }
        }
    }

    fn addr(&self) -> std::net::SocketAddr {
        match self {
            Self::Plik { server, .. } => server.addr(),
            Self::Http { server, .. } => server.addr(),
        }
    }

    /// How many files there are, complete or not.
    fn count(&self) -> usize {
        match self {
            Self::Plik { dir, .. } => count_files(dir.path()),
            Self::Http { files, .. } => files.count(),
        }
    }

    /// Puts a file there behind the proxy's back, and says at which path.
    async fn provide(&self, bytes: &Bytes, one_shot: bool) -> String {
        match self {
            Self::Plik { server, .. } => {
                let mut plik = Plik::new(server.url()).unwrap();
                if one_shot {
                    plik = plik.lifetime(Lifetime::OneShot);
                }
                let uploaded = plik.upload(Upload::new("a file.bin", bytes.clone())).await.unwrap();
                uploaded.url().as_str().strip_prefix(server.url()).unwrap().to_owned()
            }
            Self::Http { files, .. } => {
                let path = format!("/files/{}", hex(&noise(16)));
                files.insert(&path, bytes.clone());
                path
            }
        }
    }
}

pub(crate) fn count_files(dir: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let entries = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count_files(&entry.path()),
        _ => 1,
    });
    entries.sum()
}

/// What the client of a cell talks to.
struct Door {
    url: String,
    /// Of the kind that never lets anybody in.
    _full: Option<FullPort>,
}

/// What a cell may take that a deadline has to end. Its own deadlines are below a second, those that hold where nobody sets
/// any are 30 seconds: this tells them apart on a slow machine too.
const IN_TIME: Duration = Duration::from_secs(10);

const PASSWORD: &str = "s3cr3t-passw0rd";
const TOKEN: &str = "s3cr3t-us3r-t0k3n";

impl Cell {
    /// Whether a deadline has to end a try.
    fn times_out(&self) -> bool {
        let silent = matches!(self.fault, Fault::Stall { .. } | Fault::Drip(_));
        self.must == TIMED_OUT || !self.always && silent
    }

    /// Deadlines that end soon where one is to end it, and are out of the way where none is.
    fn timeouts(&self) -> HttpTimeouts {
        let (each, total) = match self.times_out() {
            true => (Duration::from_millis(500), Duration::from_millis(900)),
            false => (Duration::from_secs(20), Duration::from_secs(40)),
        };
        HttpTimeouts::default().connect(each).first_byte(each).idle(each).total(total)
    }

    fn retry(&self) -> Retry {
        // Where the fault strikes once, more tries are for machines that are too slow for the deadlines.
        let retries = if self.always { 1 } else { 5 };
        Retry::default().base_delay(Duration::from_millis(1)).max_retries(retries)
    }

    fn bridge(&self, door: &str) -> BridgeBuilder {
        let builder = Bridge::builder().threshold(1024).retry(self.retry());
        match (self.store, self.direction) {
            (Store::Plik, _) => {
                let plik = Plik::new(door).unwrap().verify_md5(true).timeouts(self.timeouts());
                let plik = plik.basic_auth("user", PASSWORD).token(TOKEN);
                crate::engine::retry_uploads(builder.store(plik), self.retry())
            }
            (Store::Http, Direction::Up) => {
                let template = format!("{door}/files/{{id}}");
                let builder = crate::engine::http_uploads(builder, &template, PASSWORD, self.timeouts());
                crate::engine::retry_uploads(builder, self.retry())
            }
            (Store::Http, Direction::Down) => {
                builder.allow_origin(Origin::parse(door).unwrap()).http_timeouts(self.timeouts())
            }
        }
    }

    fn plan(&self) -> Plan {
        let request = match (self.direction, self.store) {
            (Direction::Down, _) => "GET /file",
            (Direction::Up, Store::Plik) => "POST /file/",
            (Direction::Up, Store::Http) => "PUT /files/",
        };
        let times = if self.always { u32::MAX } else { 1 };
        Plan { fault: self.fault, phase: self.phase, request, times }
    }

    fn body(&self) -> Bytes {
        // What follows a complete answer can only come after it if the answer fits the socket's buffers.
        noise(if self.phase == AfterBody { 16 * 1024 } else { 200_000 }).into()
    }

    /// Whether the server did what it was told to, where a client gets as far with one that does not.
    fn server_erred(&self, proxy: &Proxy) -> bool {
        let Some((fault, times)) = &self.scripted else { return true };
        let kind = self.plan().request;
        let requests = proxy.heads().iter().filter(|head| head.starts_with(kind)).count();
        let has_length = |head: &String| head.to_ascii_lowercase().contains("\r\ncontent-length:");
        match fault {
            // A download has no requests but this kind.
            ServerFault::NoLength => requests > 0 && !proxy.answers().iter().any(has_length),
            // The second one is what it took to get over the first.
            _ => *times > 1 || requests > 1,
        }
    }

    /// Tries it out on a runtime of its own; the servers are on another one.
    pub(crate) fn run(&self, context: &Context) -> Report {
        let begun = Instant::now();
        let (server, proxy, door) = context.servers.block_on(async {
            let server = Server::start(self.store, self.scripted.clone()).await;
            let proxy = Proxy::start(server.addr()).await;
            let mut door = Door { url: proxy.url(), _full: None };
            match (self.phase, self.fault) {
                (Connect, Fault::Stall { .. }) => {
                    let full = FullPort::start().await;
                    door = Door { url: format!("http://{}", full.addr()), _full: Some(full) };
                }
                (Connect, Fault::Flip { .. }) => door.url = format!("http://{}", closed_port()),
                _ => proxy.set(Some(self.plan()).filter(|_| self.scripted.is_none())),
            }
            (server, proxy, door)
        });
        let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deadline = Duration::from_secs(60);
        let mut report = Report::new(&self.name);
        let driven = Instant::now();
        let outcome = client.block_on(async {
            tokio::time::timeout(deadline, self.drive(context, &server, &proxy, &door, &mut report)).await
        });
        let took = driven.elapsed();
        drop(client);
        match outcome {
            Err(_) => report.hung = true,
            Ok(Err(why)) => report.wrong = Some(why),
            Ok(Ok(())) if self.times_out() && took > IN_TIME => {
                report.wrong = Some(format!("it ended as it must, but after {took:.1?}"));
            }
            Ok(Ok(())) => {}
        }
        report.secrets.extend(secrets_in(&proxy.heads()));
        context.servers.block_on(async {
            drop((proxy, server, door));
        });
        report.time = begun.elapsed();
        report
    }

    async fn drive(
        &self,
        context: &Context,
        server: &Server,
        proxy: &Proxy,
        door: &Door,
        report: &mut Report,
    ) -> Result<(), String> {
        let bridge =
            self.bridge(&door.url).connect(&context.nats).await.map_err(|error| error.to_string())?;
        capture::add(&format!("{bridge:?} {bridge:#?}"));
        let subject = format!("cell.{}", hex(&noise(8)));
        let mut messages = bridge.subscribe(&subject).await.map_err(|error| error.to_string())?;
        bridge.flush().await.map_err(|error| error.to_string())?;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();

        let body = self.body();
        let outcome = match self.direction {
            Direction::Up => {
                let sent = bridge.send(&subject).binary("a file.bin", body.clone()).flushed().await;
                match sent {
                    Err(error) => Err(error),
                    Ok(receipt) => {
                        capture::add(&format!("{receipt:?}"));
                        proxy.set(None);
                        let message = messages.next().await.ok_or("the subscription ended")?;
                        let message =
                            message.map_err(|error| format!("the message is unreadable: {error}"))?;
                        capture::add(&format!("{message:?}"));
                        receive(&message, false, &body).await?
                    }
                }
            }
            Direction::Down => {
                let path = server.provide(&body, self.one_shot).await;
                let link = format!("{}{path}", door.url);
                LinkUrl::parse(&link).map_err(|error| error.to_string())?;
                report
                    .secrets
                    .push(path.trim_start_matches("/files/").trim_start_matches("/file/").to_owned());
                let envelope = format!(
                    r#"{{"payloads":[{{"dataname":"a file.bin","type":"binary","transport":"link","data":"{link}","size":{},"metadata":{{"sha256":"{}"}}}}]}}"#,
                    body.len(),
                    hex(&Sha256::digest(&body)),
                );
                bridge
                    .client()
                    .publish(subject.clone(), envelope.into())
                    .await
                    .map_err(|error| error.to_string())?;
                let message = messages.next().await.ok_or("the subscription ended")?;
                let message = message.map_err(|error| format!("the message is unreadable: {error}"))?;
                capture::add(&format!("{message:?} {:?}", message.payload_at(0)));
                receive(&message, self.save, &body).await?
            }
        };
        report.outcome = match &outcome {
            Ok(()) => "Ok".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        };
        if let Err(error) = &outcome {
            capture::add_error(error);
        }
        let right = match (self.must, &outcome) {
            (Succeed, Ok(())) => true,
            (Must::Fail(kind), Err(error)) => error.kind() == kind,
            (BeFoundOut, Err(error)) => error.kind() == ErrorKind::DigestMismatch,
            _ => false,
        };
        if !right {
            return Err(format!("{:?} was due, and there came {}", self.must, describe(&outcome)));
        }
        // A fault that struck nobody proves nothing. One behind the answer strikes when the client has gone on already.
        let proxied = self.scripted.is_none() && door.url == proxy.url();
        if proxied && !eventually(|| proxy.hits() > 0).await {
            return Err("the fault has struck nothing".to_owned());
        }
        if !self.server_erred(proxy) {
            return Err("the server has done nothing wrong".to_owned());
        }
        if let (Direction::Up, Must::Fail(_)) = (self.direction, self.must) {
            proxy.set(None);
            natsbridge::link::cleanups_finished().await;
        }
        let wanted = match (self.direction, self.must) {
            (Direction::Up, Must::Fail(_)) => 0,
            _ => usize::from(!self.one_shot),
        };
        // Over a connection that stands still the server may have half a file until the network gives up.
        proxy.sever();
        if !eventually(|| server.count() == wanted).await {
            report.leaked = Some(format!("{} files on the server instead of {wanted}", server.count()));
        }
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if !eventually(|| alive() <= tasks).await {
            report.leaked = Some(format!("{} tasks instead of {tasks}", alive()));
        }
        Ok(())
    }
}

/// The payload as its receiver gets it; `Err(text)` for what no receiver may see.
async fn receive(
    message: &natsbridge::Message,
    save: bool,
    body: &Bytes,
) -> Result<Result<(), Error>, String> {
    let payload = message.payload_at(0).ok_or("the message has no payload")?;
    if save {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let saved = crate::engine::save(&payload, &target).await;
        let names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        return match saved {
            Ok(()) if names == ["target"] && std::fs::read(&target).unwrap() == *body => Ok(Ok(())),
            Err(error) if names.is_empty() => Ok(Err(error)),
            Ok(()) => Err(format!("saved as {names:?}, with other bytes or other files beside it")),
            Err(error) => Err(format!("{names:?} left behind after {error}")),
        };
    }
    match payload.bytes().await {
        Ok(bytes) if bytes == *body => Ok(Ok(())),
        Ok(bytes) => Err(format!("{} other bytes were handed over", bytes.len())),
        Err(error) => Ok(Err(error)),
    }
}

fn describe(outcome: &Result<(), Error>) -> String {
    match outcome {
        Ok(()) => "a success".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Waits up to five seconds for something that need not be true at once.
pub(crate) async fn eventually(mut true_now: impl FnMut() -> bool) -> bool {
    for _ in 0..500 {
        if true_now() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true_now()
}

/// What is in these requests that no log may hold: ids in paths, tokens and passwords.
pub(crate) fn secrets_in(heads: &[String]) -> Vec<String> {
    let mut secrets = vec![PASSWORD.to_owned(), TOKEN.to_owned()];
    for head in heads {
        let mut lines = head.lines();
        let path = lines.next().and_then(|line| line.split_whitespace().nth(1)).unwrap_or_default();
        let ids = path.split('/').filter(|part| part.len() >= 12 && !part.contains('%'));
        secrets.extend(ids.map(str::to_owned));
        for line in lines {
            let Some((name, value)) = line.split_once(": ") else { continue };
            if matches!(name.to_ascii_lowercase().as_str(), "authorization" | "x-uploadtoken" | "x-pliktoken")
            {
                secrets.push(value.trim_start_matches("Basic ").trim().to_owned());
            }
        }
    }
    secrets.sort();
    secrets.dedup();
    secrets
}
