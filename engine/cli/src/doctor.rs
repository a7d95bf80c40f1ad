//! `natsbridge doctor`: one line for each thing that can be wrong, with what to do about it.

use std::future::Future;
use std::time::{Duration, Instant};

use natsbridge::link::{HttpStore, HttpTimeouts, LinkStore, LinkUrl, TlsOptions};
use natsbridge::{Bridge, Data, Dialect, Error, ErrorKind, MessageFields, PayloadFields, encoded_len};
use serde_json::Value;

use crate::args::{ConnectionArgs, DoctorArgs};
use crate::compose;
use crate::connect::connect;
use crate::exit::{Failure, chain, code};
use crate::output::{alarming, bytes, line, visible};

/// How a check ended; the worst decides the exit code.
enum Outcome {
    Ok,
    Warn,
    /// With the exit code of its class.
    Fail(u8),
}

#[derive(Default)]
struct Findings {
    warned: bool,
    failed: Option<u8>,
}

impl Findings {
    fn add(&mut self, outcome: Outcome, subject: &str, text: &str) -> Result<(), Failure> {
        let word = match outcome {
            Outcome::Ok => "ok  ".to_owned(),
            Outcome::Warn => {
                self.warned = true;
                "warn".to_owned()
            }
            Outcome::Fail(code) => {
                self.failed.get_or_insert(code);
                alarming("fail")
            }
        };
        line(&format!("{word}  {subject}: {}", visible(text)))
    }

    fn code(&self) -> u8 {
        self.failed.unwrap_or(if self.warned { code::WARNING } else { code::OK })
    }
}

pub(crate) async fn run(connection: &ConnectionArgs, args: &DoctorArgs) -> Result<u8, Failure> {
    // A wrong URL is no finding about the servers.
    compose::plik(&args.fileserver, None)?;
    let tls = compose::tls(&args.fileserver)?;
    let mut findings = Findings::default();
    nats(connection, args, &mut findings).await?;
    match args.fileserver.url() {
        Some(url) => file_server(url, &tls, args.timeout, &mut findings).await?,
        None => {
            let text = "none named; payloads that do not fit the message cannot be sent (--fileserver URL)";
            findings.add(Outcome::Ok, "file server", text)?;
        }
    }
    Ok(findings.code())
}

async fn nats(
    connection: &ConnectionArgs,
    args: &DoctorArgs,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let builder = Bridge::builder().confirm_timeout(args.timeout);
    let connected = within(args.timeout, async { Ok(connect(connection, builder).await) }).await;
    let bridge = match connected {
        Ok(Ok(bridge)) => bridge,
        // Wrong arguments are no finding about the server.
        Ok(Err(failure)) if failure.code() == code::USAGE => return Err(failure),
        Ok(Err(failure)) => {
            let text = format!("{}; is it running, and is --server right?", chain(&failure));
            return findings.add(Outcome::Fail(failure.code()), "NATS server", &text);
        }
        Err(error) => {
            let text = format!("{error}; is --server right, and is a firewall in between?");
            return findings.add(Outcome::Fail(code::BROKER), "NATS server", &text);
        }
    };
    let info = bridge.client().server_info();
    findings.add(
        Outcome::Ok,
        "NATS server",
        &format!("version {} as {:?}", info.version, info.server_name),
    )?;

    let started = Instant::now();
    match bridge.flush().await {
        Ok(()) => findings.add(Outcome::Ok, "round trip", &format!("{:.1?}", started.elapsed()))?,
        Err(error) => findings.add(Outcome::Fail(code::BROKER), "round trip", &chain(&error))?,
    }
    let headers =
        if info.headers { (Outcome::Ok, "yes") } else { (Outcome::Warn, "no: --header cannot be used") };
    findings.add(headers.0, "headers", headers.1)?;
    let jetstream =
        if info.jetstream { "yes" } else { "no; messages reach those who listen, and nobody later" };
    findings.add(Outcome::Ok, "JetStream", jetstream)?;

    let dialect = Dialect::from(args.dialect);
    match bridge.max_payload() {
        Some(max_payload) => {
            findings.add(Outcome::Ok, "max_payload", &format!("{} a message", bytes(max_payload as u64)))?;
            match largest_direct(dialect, &connection.server, max_payload) {
                Some(largest) => direct(dialect, largest as u64, findings)?,
                None => {
                    let text = "no payload fits a message; raise max_payload on the NATS server";
                    findings.add(Outcome::Fail(code::BROKER), "largest direct payload", text)?;
                }
            }
        }
        None => findings.add(Outcome::Warn, "max_payload", "the NATS server does not say")?,
    }
    within(args.timeout, bridge.drain()).await.ok();
    Ok(())
}

fn direct(dialect: Dialect, largest: u64, findings: &mut Findings) -> Result<(), Failure> {
    let threshold = dialect.default_threshold();
    let mut text = format!("{}, alone in its message", bytes(largest));
    if largest < threshold {
        text.push_str(&format!(
            "; without a file server, payloads from there up to the threshold of {} fail",
            bytes(threshold)
        ));
    }
    findings.add(Outcome::Ok, "largest direct payload", &text)
}

/// The most raw bytes of one payload in a message as `send` writes it, with a name of 32 bytes and no metadata;
/// `None` if not even an empty one fits.
fn largest_direct(dialect: Dialect, broker_url: &str, max_payload: usize) -> Option<usize> {
    const UUID: &str = "00000000-0000-0000-0000-000000000000";
    const NAME: &str = "12345678901234567890123456789012";
    let mut fields = MessageFields::default();
    (fields.correlation_id, fields.msg_id, fields.sender_id) = (UUID, UUID, UUID);
    fields.timestamp = "2026-01-01T00:00:00.000Z";
    (fields.send_to, fields.msg_purpose, fields.sender_name) = (NAME, "chat", "NATSBridge");
    fields.broker_url = broker_url;
    // Never touched, so it costs no memory.
    let zeros = vec![0; max_payload];
    let fits = |len: usize| {
        let mut payload = PayloadFields::new(NAME, "dictionary", Data::Bytes(&zeros[..len]));
        payload.id = UUID;
        encoded_len(dialect, &fields, &[payload]) <= max_payload
    };
    let (mut fitting, mut too_long) = (0, max_payload);
    if !fits(fitting) {
        return None;
    }
    while too_long - fitting > 1 {
        let middle = fitting + (too_long - fitting) / 2;
        if fits(middle) { fitting = middle } else { too_long = middle }
    }
    Some(fitting)
}

async fn file_server(
    url: &str,
    tls: &TlsOptions,
    timeout: Duration,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let fail = Outcome::Fail(code::FILE_SERVER);
    let version = match within(timeout, get(url, "/version", tls, timeout)).await {
        Ok(version) => version,
        Err(error) if error.kind() == ErrorKind::InvalidPayload => {
            return Err(Failure::Usage(format!("--fileserver: {}", error.explanation())));
        }
        Err(error) => {
            let text = format!("{}; is it running, and is --fileserver right?", chain(&error));
            return findings.add(fail, "file server", &text);
        }
    };
    let text = format!("Plik version {}", version["version"].as_str().unwrap_or("unknown"));
    findings.add(Outcome::Ok, "file server", &text)?;
    let config = match within(timeout, get(url, "/config", tls, timeout)).await {
        Ok(config) => config,
        Err(error) => {
            let text = format!("{}; the limits of the server are unknown", chain(&error));
            return findings.add(Outcome::Warn, "file server limits", &text);
        }
    };
    let max_file = match config["maxFileSize"].as_u64() {
        Some(max) if max > 0 => format!("files up to {}", bytes(max)),
        _ => "files of any size".to_owned(),
    };
    findings.add(Outcome::Ok, "file server limits", &max_file)?;
    lifetime(&config, findings)?;
    let one_shot = config["oneShot"].as_bool().unwrap_or(true) && config["feature_one_shot"] != "disabled";
    let text = if one_shot { "possible" } else { "switched off: --one-shot cannot be used" };
    findings.add(Outcome::Ok, "one-shot uploads", text)
}

fn lifetime(config: &Value, findings: &mut Findings) -> Result<(), Failure> {
    const DAY: u64 = 24 * 3600;
    match config["maxTTL"].as_u64() {
        Some(max) if max > 0 && max < DAY => {
            let text =
                format!("{max} s at most, and uploads ask for {DAY} s: send with --ttl {max}s or less");
            findings.add(Outcome::Warn, "lifetime of uploads", &text)
        }
        Some(max) if max > 0 => findings.add(Outcome::Ok, "lifetime of uploads", &format!("{max} s at most")),
        _ => findings.add(Outcome::Ok, "lifetime of uploads", "unlimited"),
    }
}

/// A JSON page of the file server.
async fn get(base: &str, path: &str, tls: &TlsOptions, timeout: Duration) -> natsbridge::Result<Value> {
    const MAX_PAGE: usize = 1024 * 1024;
    let url = LinkUrl::parse(&format!("{}{path}", base.trim_end_matches('/')))?;
    let timeouts = HttpTimeouts::default().connect(timeout).first_byte(timeout);
    let store = HttpStore::new().timeouts(timeouts).tls(tls.clone());
    let mut download = store.download(&url).await?;
    let mut page = Vec::new();
    while let Some(chunk) = download.chunk().await? {
        page.extend_from_slice(&chunk);
        if page.len() > MAX_PAGE {
            return Err(Error::new(
                ErrorKind::LinkRejected,
                format!("{path} is no page of Plik's: too long"),
            ));
        }
    }
    serde_json::from_slice(&page)
        .map_err(|_| Error::new(ErrorKind::LinkRejected, format!("{path} is no page of Plik's: not JSON")))
}

/// Nothing here waits for ever.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = natsbridge::Result<T>>,
) -> natsbridge::Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, format!("no answer within {limit:?}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_payload_is_the_last_that_fits() {
        let largest = largest_direct(Dialect::Camel, "nats://localhost:4222", 1_048_576).unwrap();
        assert!((780_000..786_432).contains(&largest), "{largest}");
        assert_eq!(largest_direct(Dialect::Camel, "", 100), None);
        let snake = largest_direct(Dialect::Snake, "nats://localhost:4222", 1_048_576).unwrap();
        assert!(snake < largest);
    }

    #[test]
    fn the_worst_finding_decides() {
        let mut findings = Findings::default();
        assert_eq!(findings.code(), code::OK);
        findings.warned = true;
        assert_eq!(findings.code(), code::WARNING);
        findings.failed = Some(code::BROKER);
        assert_eq!(findings.code(), code::BROKER);
    }
}
