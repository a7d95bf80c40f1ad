//! The fault proxy itself: what it does to an exchange is what its plan says, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "faults/proxy.rs"]
mod proxy;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proxy::{Fault, FullPort, Phase, Plan, Proxy, closed_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const REQUEST: &[u8] = b"PUT /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n";

/// Reads one request to its fifth byte of body, says what came, and answers.
async fn upstream() -> (SocketAddr, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        while let Ok(Ok((mut stream, _))) = timeout(Duration::from_millis(400), listener.accept()).await {
            let mut request = Vec::new();
            while request.len() < REQUEST.len()
                && stream.read_buf(&mut request).await.is_ok_and(|count| count > 0)
            {}
            if request.len() == REQUEST.len() {
                let _ = stream.write_all(format!("{HEAD}goodbye.").as_bytes()).await;
            }
            requests.push(request);
        }
        requests
    });
    (addr, task)
}

/// What a client gets: the bytes that came, and how it ended.
async fn exchange(addr: SocketAddr) -> (String, io::Result<()>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut got = Vec::new();
    let outcome = async {
        stream.write_all(REQUEST).await?;
        while stream.read_buf(&mut got).await? > 0 {}
        Ok(())
    };
    let outcome = match timeout(Duration::from_millis(300), outcome).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    (String::from_utf8(got).unwrap(), outcome)
}

async fn struck(fault: Fault, phase: Phase) -> (String, Result<(), io::ErrorKind>, Vec<u8>) {
    let (addr, upstream) = upstream().await;
    let proxy = Proxy::start(addr).await;
    proxy.set(Some(Plan::always(fault, phase, "PUT ")));
    let (got, outcome) = exchange(proxy.addr()).await;
    assert_eq!(proxy.hits(), 1, "{fault:?} at {phase:?}");
    drop(proxy);
    let requests = upstream.await.unwrap();
    (got, outcome.map_err(|error| error.kind()), requests.into_iter().next().unwrap_or_default())
}

#[tokio::test]
async fn without_a_plan_everything_passes() {
    let (addr, upstream) = upstream().await;
    let proxy = Proxy::start(addr).await;
    let (got, outcome) = exchange(proxy.addr()).await;
    outcome.unwrap();
    assert_eq!(got, format!("{HEAD}goodbye."));
    assert_eq!((proxy.hits(), proxy.connections()), (0, 1));
    assert!(proxy.heads()[0].starts_with("PUT /x "));
    assert_eq!(upstream.await.unwrap(), [REQUEST]);
}

#[tokio::test]
async fn every_fault_strikes_where_it_is_meant_to() {
    use Phase::{AfterBody, Connect, RequestBody, RequestHead, ResponseBody, ResponseHead};
    let whole = format!("{HEAD}goodbye.");
    let timed_out = Err(io::ErrorKind::TimedOut);
    let reset = Err(io::ErrorKind::ConnectionReset);
    let head_len = REQUEST.len() - 5;
    for (fault, phase, got, outcome, passed) in [
        (Fault::Reset { after: 0 }, Connect, "", reset, 0),
        (Fault::Close { after: 0 }, Connect, "", Ok(()), 0),
        (Fault::Stall { after: 3 }, RequestHead, "", timed_out, 3),
        (Fault::Stall { after: 3 }, RequestBody, "", timed_out, head_len + 3),
        (Fault::Reset { after: 3 }, RequestBody, "", reset, head_len + 3),
        (Fault::Close { after: 3 }, RequestBody, "", Ok(()), head_len + 3),
        (Fault::Stall { after: 4 }, ResponseHead, "HTTP", timed_out, REQUEST.len()),
        (Fault::Close { after: 4 }, ResponseHead, "HTTP", Ok(()), REQUEST.len()),
        (Fault::Close { after: 7 }, ResponseBody, &whole[..whole.len() - 1], Ok(()), REQUEST.len()),
        (Fault::Stall { after: 7 }, ResponseBody, &whole[..whole.len() - 1], timed_out, REQUEST.len()),
        (Fault::Stall { after: 0 }, AfterBody, &whole, timed_out, REQUEST.len()),
        (Fault::Reset { after: 0 }, AfterBody, &whole, reset, REQUEST.len()),
        (Fault::Slicing(1), ResponseHead, &whole, Ok(()), REQUEST.len()),
    ] {
        let name = format!("{fault:?} at {phase:?}");
        let (client, ended, server) = struck(fault, phase).await;
        assert_eq!((client.as_str(), ended), (got, outcome), "{name}");
        assert_eq!(server, REQUEST[..passed], "{name}");
    }
}

#[tokio::test]
async fn bytes_are_turned_over_or_slow() {
    let (got, _, _) = struck(Fault::Flip { at: 0 }, Phase::ResponseBody).await;
    assert_eq!(got, format!("{HEAD}foodbye."));
    let (_, _, request) = struck(Fault::Flip { at: 4 }, Phase::RequestBody).await;
    assert!(request.ends_with(b"helln"));
    let (got, _, _) = struck(Fault::Flip { at: 0 }, Phase::AfterBody).await;
    assert!(got.starts_with(&format!("{HEAD}goodbye.bytes")), "{got}");
    let begun = Instant::now();
    let pause = Duration::from_millis(20);
    let (got, _, _) = struck(Fault::Drip(pause), Phase::ResponseBody).await;
    assert_eq!(got, format!("{HEAD}goodbye."));
    assert!(begun.elapsed() >= 8 * pause);
    let begun = Instant::now();
    struck(Fault::Latency(pause * 5), Phase::RequestBody).await.1.unwrap();
    struck(Fault::Bandwidth(100), Phase::ResponseBody).await.1.unwrap();
    assert!(begun.elapsed() >= pause * 5 + Duration::from_millis(80));
}

#[tokio::test]
async fn a_plan_strikes_as_often_as_it_says_and_only_what_it_names() {
    let (addr, _upstream) = upstream().await;
    let proxy = Proxy::start(addr).await;
    let plan = Plan::always(Fault::Close { after: 0 }, Phase::ResponseHead, "PUT /x ").times(1);
    proxy.set(Some(plan.clone()));
    assert_eq!(exchange(proxy.addr()).await.0, "");
    assert_eq!(exchange(proxy.addr()).await.0, format!("{HEAD}goodbye."));
    proxy.set(Some(Plan { request: "GET ", ..plan }));
    assert_eq!(exchange(proxy.addr()).await.0, format!("{HEAD}goodbye."));
    assert_eq!(proxy.hits(), 1);
}

#[tokio::test]
async fn ports_that_nobody_answers_at() {
    let full = FullPort::start().await;
    let connecting = timeout(Duration::from_millis(200), TcpStream::connect(full.addr()));
    assert!(connecting.await.is_err(), "a full queue let a connection in");
    let error = TcpStream::connect(closed_port()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
