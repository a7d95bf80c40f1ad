//! Proofs that are about many transfers, or about one large one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use natsbridge::ErrorKind;
use natsbridge::link::{Expected, FetchOptions, HttpStore, HttpTimeouts, LinkUrl, Retry, fetch};
use sha2::{Digest, Sha256};

use crate::capture;
use crate::child::{Other, PATIENCE};
use crate::matrix::sample;
use crate::proxy::{Fault, Phase, Plan, Proxy};
use crate::server::{Files, PlainServer, raw_server};
use crate::{Context, Extent, Proof, Random, hex, noise};

pub(crate) fn all(extent: Extent) -> Vec<Proof> {
    let mut proofs = Vec::new();
    if extent != Extent::Long {
        proofs.push(Proof { name: "a quick run has each row and column", run: |_, _| sample() });
        proofs.push(Proof { name: "every cut is noticed", run: cuts });
        proofs.push(Proof { name: "every turned bit is noticed", run: flips });
    }
    proofs.push(Proof { name: "a file server that is away", run: away });
    if extent != Extent::Long {
        proofs.push(Proof { name: "a killed receiver leaves the whole file or none", run: kills });
        proofs.push(Proof { name: "many links stay within their budget", run: budget });
    }
    proofs.push(Proof { name: "a large download takes little memory", run: large_download });
    proofs.push(Proof { name: "a large upload takes little memory", run: large_upload });
    proofs
}

const LEN: usize = 64 * 1024;

/// Says which random numbers a run has had.
fn random() -> (u64, Random) {
    let given = std::env::var("FAULTS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from_le_bytes(noise(8).try_into().unwrap()));
    (seed, Random::new(seed))
}

fn trusting() -> HttpStore {
    let long = Duration::from_secs(30);
    HttpStore::new().timeouts(HttpTimeouts::default().connect(long).first_byte(long).idle(long))
}

/// Fetches all paths, some at once, and checks what becomes of each.
async fn fetch_all(base: &str, paths: Vec<(String, ErrorKind)>, expected: Expected) -> Result<usize, String> {
    let store = trusting();
    let options = FetchOptions::default().retry(Retry::never());
    let fetches = paths.into_iter().map(|(path, kind)| {
        let url = LinkUrl::parse(&format!("{base}{path}")).unwrap();
        let (store, options) = (&store, &options);
        async move {
            match fetch(store, &url, &expected, options).await {
                Ok(_) => Err(format!("{path} was taken for the file")),
                Err(error) => {
                    capture::add_error(&error);
                    match error.kind() == kind {
                        true => Ok(()),
                        false => Err(format!("{path}: {kind:?} was due, and there came {error}")),
                    }
                }
            }
        }
    });
    let outcomes: Vec<_> = futures_util::stream::iter(fetches).buffer_unordered(32).collect().await;
    let count = outcomes.len();
    outcomes.into_iter().collect::<Result<Vec<()>, String>>().map(|_| count)
}

/// With an announced length, and with chunks.
fn answers(body: &[u8]) -> [Vec<u8>; 2] {
    let mut plain = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    plain.extend_from_slice(body);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(1000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    [plain, chunked]
}

fn head_len(answer: &[u8]) -> usize {
    answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4
}

fn cuts(context: &Context, _: Extent) -> Result<String, String> {
    let body = noise(LEN);
    let (seed, mut random) = random();
    let answers = Arc::new(answers(&body));
    let mut paths = Vec::new();
    for at in 0..1000 {
        let which = at % 2;
        let answer = &answers[which];
        // The last bytes of a chunked answer say only that there is no more.
        let end = if which == 0 { answer.len() } else { answer.len() - 7 };
        let cut = random.below(end as u64) as usize;
        let kind = if cut < head_len(answer) { ErrorKind::Network } else { ErrorKind::LinkTruncated };
        paths.push((format!("/{which}/{cut}"), kind));
    }
    context.servers.block_on(async {
        let served = Arc::clone(&answers);
        let (addr, server) = raw_server(move |path| {
            let mut parts = path.rsplit('/');
            let (cut, which) = (parts.next().unwrap(), parts.next().unwrap());
            served[which.parse::<usize>().unwrap()][..cut.parse().unwrap()].to_vec()
        })
        .await;
        // Nothing is known about the file: HTTP alone has to show that it is not whole.
        let count = fetch_all(&format!("http://{addr}/{}", context.secret), paths, Expected::nothing()).await;
        server.abort();
        Ok(format!("{} random cuts, none taken for the file (seed {seed})", count?))
    })
}

fn flips(context: &Context, _: Extent) -> Result<String, String> {
    let body = noise(LEN);
    let expected = Expected::nothing().size(LEN as u64).sha256(Sha256::digest(&body).into());
    let (seed, mut random) = random();
    let bits = (0..1000).map(|_| random.below(LEN as u64 * 8));
    let paths = bits.map(|bit| (format!("/{bit}"), ErrorKind::DigestMismatch)).collect();
    let [answer, _] = answers(&body);
    context.servers.block_on(async {
        let (addr, server) = raw_server(move |path| {
            let bit: usize = path.rsplit('/').next().unwrap().parse().unwrap();
            let mut answer = answer.clone();
            let head = head_len(&answer);
            answer[head + bit / 8] ^= 1 << (bit % 8);
            answer
        })
        .await;
        let count = fetch_all(&format!("http://{addr}/{}", context.secret), paths, expected).await;
        server.abort();
        Ok(format!("{} random bits, each a wrong digest (seed {seed})", count?))
    })
}

/// The server goes away in the middle of a transfer and comes back: the resilient schedule lasts until then, the default one
/// ends on time. A long run has the real schedules, and 30 seconds; the others everything in a tenth.
fn away(context: &Context, extent: Extent) -> Result<String, String> {
    let scale = if extent == Extent::Long { 1 } else { 10 };
    let shrink = |retry: Retry| {
        retry.base_delay(Duration::from_millis(100) / scale).max_delay(Duration::from_secs(5) / scale)
    };
    let gone = Duration::from_secs(30) / scale;
    let body = Bytes::from(noise(4 << 20));
    let expected = Expected::nothing().size(body.len() as u64).sha256(Sha256::digest(&body).into());
    context.servers.block_on(async {
        let files = Arc::new(Files::default());
        let path = format!("/files/{}", context.secret);
        files.insert(&path, body.clone());
        let server = PlainServer::start(&files).await;
        let proxy = Proxy::start(server.addr()).await;
        let addr = proxy.addr();
        proxy.set(Some(Plan::always(Fault::Bandwidth(4_000_000), Phase::ResponseBody, "GET ")));
        let url = LinkUrl::parse(&format!("{}{path}", proxy.url())).unwrap();
        let store = trusting();
        let transfer = |retry| {
            let options = FetchOptions::default().retry(shrink(retry));
            let (store, url, expected) = (&store, &url, &expected);
            async move {
                let begun = Instant::now();
                (fetch(store, url, expected, &options).await, begun.elapsed())
            }
        };
        let leave = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let struck = proxy.hits();
            proxy.sever();
            drop(proxy);
            tokio::time::sleep(gone).await;
            (struck, Proxy::start_at(addr, server.addr()).await)
        };
        let (resilient, default, (struck, _proxy)) =
            tokio::join!(transfer(Retry::resilient()), transfer(Retry::default()), leave);
        if struck != 2 {
            return Err(format!("{struck} transfers were on their way instead of 2"));
        }
        let fetched = resilient.0.map_err(|error| format!("the resilient schedule: {error}"))?;
        if fetched.bytes != body || fetched.attempts < 3 {
            return Err(format!("{} bytes after {} attempts", fetched.bytes.len(), fetched.attempts));
        }
        let (outcome, took) = default;
        let error = outcome.err().ok_or("the default schedule outlasted the server")?;
        capture::add_error(&error);
        // At most 3.1 seconds of waiting, and what the tries themselves take.
        if took > Duration::from_millis(3_100) / scale + Duration::from_secs(3) || !error.is_retryable() {
            return Err(format!("the default schedule took {took:?}: {error}"));
        }
        Ok(format!(
            "{gone:?} away: the resilient schedule has the file after {} attempts, the default one gives up after \
             {took:.1?} ({:?}, {} attempts)",
            fetched.attempts,
            error.kind(),
            error.attempts().unwrap_or_default()
        ))
    })
}

/// Receivers are killed at random moments of a download into a file.
fn kills(context: &Context, extent: Extent) -> Result<String, String> {
    const LANES: u64 = 4;
    let rounds = if extent == Extent::Quick { 5 } else { 25 };
    let body = Bytes::from(noise(1 << 20));
    let sha256 = hex(&Sha256::digest(&body));
    let files = Arc::new(Files::default());
    let path = format!("/files/{}", context.secret);
    files.insert(&path, body.clone());
    let (_server, proxy) = context.servers.block_on(async {
        let server = PlainServer::start(&files).await;
        let proxy = Proxy::start(server.addr()).await;
        proxy.set(Some(Plan::always(Fault::Bandwidth(4_000_000), Phase::ResponseBody, "GET ")));
        (server, proxy)
    });
    let link = format!("{}{path}", proxy.url());
    let len = body.len().to_string();
    let (seed, random) = random();
    let lane = |lane: u64| -> Result<(usize, usize), String> {
        let mut random = Random::new(random.clone().next() ^ lane);
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let start = || Other::start(&["save", &context.nats, &link, &len, &sha256, target.to_str().unwrap()]);
        // How long a receiver takes that is left alone: a kill may come until a third of it later.
        let mut child = start();
        let ready = child.line(PATIENCE);
        let begun = Instant::now();
        let lines = [ready, child.line(PATIENCE)];
        let span = begun.elapsed() * 4 / 3;
        child.kill();
        if lines != ["ready", "done"] {
            return Err(format!("the first receiver said {lines:?}"));
        }
        let (mut absent, mut whole) = (0, 0);
        for _ in 0..rounds {
            let _ = std::fs::remove_file(&target);
            let mut child = start();
            let line = child.line(PATIENCE);
            if line != "ready" {
                return Err(format!("a receiver said {line:?}"));
            }
            std::thread::sleep(Duration::from_micros(random.below(span.as_micros() as u64)));
            child.kill();
            match std::fs::read(&target) {
                Err(_) => absent += 1,
                Ok(bytes) if bytes == body => whole += 1,
                Ok(bytes) => {
                    return Err(format!("{} of {} bytes were left as the file", bytes.len(), body.len()));
                }
            }
        }
        // One more, which is left alone: it has the file, and has swept what the others left.
        let mut child = start();
        let lines = [child.line(PATIENCE), child.line(PATIENCE)];
        if lines != ["ready", "done"] || std::fs::read(&target).ok().as_deref() != Some(&body[..]) {
            return Err(format!("the last receiver said {lines:?}"));
        }
        child.kill();
        let left = crate::matrix::count_files(dir.path());
        if left != 1 {
            return Err(format!("{} files are left beside the target", left - 1));
        }
        Ok((absent, whole))
    };
    let (mut absent, mut whole) = (0, 0);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|number| scope.spawn(move || lane(number))).collect();
        for lane in lanes {
            let one = lane.join().unwrap()?;
            (absent, whole) = (absent + one.0, whole + one.1);
        }
        Ok::<_, String>(())
    })?;
    if absent == 0 || (extent != Extent::Quick && whole == 0) {
        return Err(format!(
            "the kills do not fall on both sides of the end: {absent} before it, {whole} after it"
        ));
    }
    Ok(format!(
        "{} kills: the file was absent {absent} times and whole {whole} times, nothing left behind (seed {seed})",
        absent + whole
    ))
}

/// What a child's memory grew by, at most, between `ready` and `done`: it moves so many bytes in between.
fn growth(arguments: &[&str], len: u64) -> Result<u64, String> {
    let mut child = Other::start(arguments);
    let line = child.line(PATIENCE);
    if line != "ready" {
        return Err(format!("instead of ready the child said {line:?}"));
    }
    let before = child.memory("VmRSS");
    child.go_on();
    // Four megabytes a second are a machine that is very busy with other things.
    let line = child.line(PATIENCE + Duration::from_secs(len / 4_000_000));
    if line != "done" {
        return Err(format!("instead of done the child said {line:?}"));
    }
    Ok(child.memory("VmHWM").saturating_sub(before))
}

const MIB: u64 = 1 << 20;
const ALLOWED: u64 = 32 * MIB;

fn size(extent: Extent) -> u64 {
    match extent {
        Extent::Quick => 256 * MIB,
        Extent::Full => 1024 * MIB,
        Extent::Long => 10_000_000_000,
    }
}

fn within(growth: u64, allowed: u64, len: u64) -> Result<String, String> {
    let text = format!(
        "{} MB: memory grew by {:.1} MiB of {} MiB allowed",
        len / 1_000_000,
        growth as f64 / MIB as f64,
        allowed / MIB
    );
    if growth <= allowed { Ok(text) } else { Err(text) }
}

fn large_upload(context: &Context, extent: Extent) -> Result<String, String> {
    let files = Arc::new(Files::default());
    let server = context.servers.block_on(PlainServer::start(&files));
    let template = format!("{}/discard/{}/{{id}}", server.url(), context.secret);
    let len = size(extent);
    let growth = growth(&["upload", &context.nats, &template, &len.to_string()], len)?;
    if files.discarded() != len + 16 * MIB {
        return Err(format!("{} bytes arrived", files.discarded()));
    }
    within(growth, ALLOWED, len)
}

fn large_download(context: &Context, extent: Extent) -> Result<String, String> {
    let files = Arc::new(Files::default());
    let server = context.servers.block_on(PlainServer::start(&files));
    let len = size(extent);
    let link = format!("{}/make/{len}/{}", server.url(), context.secret);
    let growth = growth(&["download", &context.nats, &link, &len.to_string()], len)?;
    within(growth, ALLOWED, len)
}

/// 200 links of one megabyte, all asked for at once.
fn budget(context: &Context, _: Extent) -> Result<String, String> {
    let files = Arc::new(Files::default());
    let server = context.servers.block_on(PlainServer::start(&files));
    let budget = 64 * MIB;
    let growth = growth(&["many", &context.nats, &server.url(), "200", &budget.to_string()], 200 * MIB)?;
    within(growth, budget + budget / 10, 200 * MIB)
}
