//! CPU per message of publish and receive loops, interleaved.
//!
//! `nats_loop [ROUNDS] [CONTESTANT;…] [PAYLOAD_LEN,…]`

use natsbridge_bench::nats::{
    BoxError, Contestant, NatsServer, PAYLOAD_LENS, median, messages_per_round, round,
};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let args: Vec<String> = std::env::args().collect();
    let rounds: usize = args.get(1).map_or(Ok(7), |text| text.parse())?;
    let names: Vec<&str> =
        args.get(2).map_or_else(|| Contestant::NAMES.to_vec(), |text| text.split(';').collect());
    let lens: Vec<usize> = match args.get(3) {
        Some(text) => text.split(',').map(str::parse).collect::<Result<_, _>>()?,
        None => PAYLOAD_LENS.to_vec(),
    };
    let server = NatsServer::start()?;
    println!(
        "| message bytes | contestant | CPU us/msg, median | against raw | least | against raw | msg/s | against raw |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for len in lens {
        let mut contestants = Vec::new();
        for name in &names {
            contestants.push((Contestant::new(name, &server.url(), len).await?, Vec::new(), Vec::new()));
        }
        let messages = messages_per_round(len);
        for (contestant, ..) in &mut contestants {
            round(contestant, messages / 4).await?; // warm-up
        }
        for _ in 0..rounds {
            for (contestant, cpu, rate) in &mut contestants {
                let round = round(contestant, messages).await?;
                cpu.push(round.cpu_us());
                rate.push(round.rate());
            }
        }
        let mut base = None;
        for (contestant, cpu, rate) in contestants {
            // Whatever else runs on the machine only adds to CPU time, so the least is the least disturbed.
            let least = cpu.iter().copied().fold(f64::INFINITY, f64::min);
            let (cpu, rate) = (median(cpu), median(rate));
            let (raw_cpu, raw_least, raw_rate) = *base.get_or_insert((cpu, least, rate));
            println!(
                "| {} | {} | {cpu:.2} | {:+.0} % | {least:.2} | {:+.0} % | {rate:.0} | {:.2} |",
                contestant.message_len(),
                contestant.name(),
                (cpu / raw_cpu - 1.0) * 100.0,
                (least / raw_least - 1.0) * 100.0,
                rate / raw_rate,
            );
        }
    }
    Ok(())
}
