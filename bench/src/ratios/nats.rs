//! Through a NATS server, against the raw client that moves the same bytes.

use super::{Aim, Ratio, Wanted, at_least, at_most};
use crate::measure::wall::{Effort, median};
use crate::nats::{BoxError, Contestant, NatsServer, messages_per_round, round};

const RATE: &str = "messages a second through a nats-server on this machine, wall clock";
const CPU: &str = "CPU time of this process, both clients, for one message";

/// What natsbridge offers to a producer of many messages.
const OWN: &str = "publisher";

/// The size of the message as it is called, and the payload's.
const SIZES: [(&str, usize); 3] = [("678B", 64), ("1.9K", 1000), ("683K", 512 << 10)];

fn targets() -> Vec<(&'static str, &'static str, Aim)> {
    vec![
        ("nats-rate", "1.9K", at_least(0.85)),
        ("nats-rate", "683K", at_least(0.95)),
        ("nats-added-cpu", "678B", at_most(0.5)),
        ("nats-added-cpu", "683K", at_most(0.15)),
    ]
}

pub(super) fn measure(wanted: &Wanted<'_>, effort: Effort) -> Vec<Ratio> {
    let name = |what: &str, size: &str| format!("{what}/{size}/vs-raw");
    let targets: Vec<_> =
        targets().into_iter().filter(|(what, size, _)| wanted.has(&name(what, size))).collect();
    if targets.is_empty() {
        return Vec::new();
    }
    let rounds = (effort.rounds / 5).max(2);
    let measured: Vec<(&str, Result<Compared, String>)> = SIZES
        .into_iter()
        .filter(|(size, _)| targets.iter().any(|(_, wanted, _)| wanted == size))
        .map(|(size, len)| (size, compare(len, rounds).map_err(|error| error.to_string())))
        .collect();
    let ratio = |(what, size, aim): (&str, &str, Aim)| {
        let found = measured.iter().find(|(known, _)| *known == size).map(|(_, result)| result);
        let compared = found.cloned().unwrap_or_else(|| Err("not measured".into()));
        let (value, clock) = match what {
            "nats-rate" => (compared.map(|compared| compared.rate), RATE),
            _ => (compared.map(|compared| compared.added_cpu), CPU),
        };
        Ratio::new(name(what, size), value, aim, clock)
    };
    targets.into_iter().map(ratio).collect()
}

#[derive(Debug, Clone, Copy)]
struct Compared {
    /// Our messages a second as a part of the raw client's.
    rate: f64,
    /// Our CPU time beyond the raw client's, as a part of that.
    added_cpu: f64,
}

/// The medians of the rounds' ratios; the two take turns.
#[tokio::main(worker_threads = 2)]
async fn compare(payload_len: usize, rounds: usize) -> Result<Compared, BoxError> {
    let server = NatsServer::start()?;
    let mut raw = Contestant::new("raw", &server.url(), payload_len).await?;
    let mut own = Contestant::new(OWN, &server.url(), payload_len).await?;
    let messages = messages_per_round(payload_len);
    for contestant in [&mut raw, &mut own] {
        round(contestant, messages / 4).await?; // buffers grow, connections settle
    }
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (raw, own) = (round(&mut raw, messages).await?, round(&mut own, messages).await?);
        rates.push(own.rate() / raw.rate());
        cpus.push(own.cpu_us() / raw.cpu_us() - 1.0);
    }
    Ok(Compared { rate: median(rates), added_cpu: median(cpus) })
}
