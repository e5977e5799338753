//! A writer takes over what another one has read and not delivered: it reads all of it again.

use std::sync::Arc;
use std::time::Duration;

use crate::beside::generate;
use crate::load::bodies::Form;
use crate::load::{Bodies, Load, Pace};
use crate::log::{Blocks, Flush, LIMIT, Log, one_for_each};
use crate::s3::S3;
use crate::support::until;
use crate::{Bench, OTHER_CORE, directory, show};

/// Nothing is due, so nothing is released.
const NEVER: Flush<'static> = Flush { max_bytes: "4 GB", max_age: "24 h" };
const PIECE: Duration = Duration::from_secs(2);

/// Measures and prints.
pub(crate) fn measure(bench: &Bench<'_>) {
    let args = bench.args;
    let names = one_for_each(1);
    let log = Log::make(bench, "takeover", 1);
    let bodies = Arc::new(Bodies::new(100));
    let buckets = directory(&args.memory_dir);
    let s3 = S3::start(bench.program(), buckets.path(), OTHER_CORE);
    let mut calls = 0;
    {
        let collector = log.collector(Blocks::Lz4, &names);
        let load = Load {
            target: collector.target(Form::Envelope),
            connections: 64,
            active: 64,
            write_keys: names.clone(),
            pace: Pace::Closed,
            lasting: PIECE,
            acked: None,
        };
        while calls < args.takeover_calls {
            let outcome = generate(OTHER_CORE, &load, &bodies);
            assert_eq!(outcome.refused, 0, "requests were refused");
            calls += outcome.calls;
        }
    }
    println!("takeover of {calls} calls that are not delivered");
    let mut rounds = Vec::new();
    // The first one owns the partition; the others take it over.
    for round in 0..=args.rounds {
        let writer = log.writer(s3.address, NEVER, &names);
        let took = until("everything to be read", LIMIT, || {
            let status = writer.status();
            let owned = &status["kafka"]["owned"][0];
            owned["takeover_seconds"].as_u64()?;
            let read = status["ledger"]["totals"]["stored"].as_u64()?;
            (read >= calls).then(|| owned["cache_used_bytes"].as_u64()).flatten()
        });
        let cpu = writer.process.cpu();
        let text = crate::node::get(writer.admin, "/metrics").expect("its metrics");
        let seconds = text
            .lines()
            .find_map(|line| {
                line.strip_prefix("forebay_kafka_takeover_seconds{partition=\"0\"} ")?.parse::<f64>().ok()
            })
            .expect("the time of the takeover");
        #[expect(clippy::cast_precision_loss, reason = "gigabytes")]
        let gigabytes = took as f64 / 1e9;
        println!(
            "  {}: {gigabytes:.2} GB of cache, {seconds:.2} s, {:.2} s of CPU, {} MB of memory at most",
            if round == 0 { "first owner".to_owned() } else { format!("round {round}") },
            cpu.as_secs_f64(),
            writer.process.peak_rss() / 1_000_000,
        );
        if round > 0 {
            rounds.push((seconds / gigabytes, cpu.as_secs_f64() / gigabytes));
        }
    }
    show("seconds for each GB of cache", "", 2, rounds.iter().map(|round| round.0));
    show("seconds of CPU of the writer for each GB of cache", "", 2, rounds.iter().map(|round| round.1));
    println!();
}
