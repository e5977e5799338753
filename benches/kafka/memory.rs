//! The most memory of a writer of twelve partitions whose windows are full, with many small sources beside a hot one;
//! and of another one that has to read much at once.

use std::sync::Arc;
use std::time::Duration;

use crate::beside::generate;
use crate::load::bodies::Form;
use crate::load::{Bodies, Load, Outcome, Pace};
use crate::log::{Blocks, Collector, Flush, Log, Writer};
use crate::process::{Process, number_after};
use crate::s3::S3;
use crate::{Bench, OTHER_CORE, directory};

const PARTITIONS: usize = 12;
/// Frames that fill the windows of all partitions, if sources are not quite even.
const FRAMES: u64 = 12 * 262_144 * 11 / 10;
const FLUSH: Flush<'static> = Flush { max_bytes: "100 MB", max_age: "2 min" };
const PIECE: Duration = Duration::from_secs(4);
/// Batches of the hot source.
const HOT: Pace = Pace::Open { requests_per_second: 50.0 };
/// Single calls of all small sources.
const FEW: Pace = Pace::Open { requests_per_second: 1_000.0 };
/// Calls that the second writer finds.
const BACKLOG: u64 = 1_500_000;

/// Measures and prints.
pub(crate) fn measure(bench: &Bench<'_>) {
    let args = bench.args;
    let mut names: Vec<String> = (0..args.sources).map(|number| format!("small-{number}")).collect();
    names.push("hot".to_owned());
    let log = Log::make(bench, "memory", PARTITIONS);
    let buckets = directory(&args.memory_dir);
    let s3 = S3::start(bench.program(), buckets.path(), OTHER_CORE);
    let collector = log.collector(Blocks::Lz4, &names);
    println!("memory of a writer of {PARTITIONS} partitions, {} sources", names.len());
    let writer = log.writer(s3.address, FLUSH, &names);
    say("it owns all partitions", &writer.process);
    let bodies = Arc::new(Bodies::new(100));
    let small = &names[..args.sources];
    let mut sent = 0;
    while sent < FRAMES {
        sent += send(&collector, &bodies, small, Pace::Closed, PIECE).calls;
    }
    writer.delivers(sent);
    say(&format!("{sent} calls of all small sources, as fast as it can: windows are full"), &writer.process);
    writer.process.reset_peak_rss();
    let singles = Arc::new(Bodies::starting_at(1, 1 << 40));
    let lasting = Duration::from_secs(30);
    let calls: u64 = std::thread::scope(|scope| {
        let hot = scope.spawn(|| send(&collector, &bodies, &names[args.sources..], HOT, lasting));
        let few = send(&collector, &singles, small, FEW, lasting);
        few.calls + hot.join().expect("the load of the hot source").calls
    });
    sent += calls;
    until_read(&writer, sent);
    say(&format!("{calls} calls: single ones of small sources beside a hot one"), &writer.process);
    drop(writer);
    let mut behind = 0;
    while behind < BACKLOG {
        behind += send(&collector, &bodies, small, Pace::Closed, PIECE).calls;
    }
    let second = log.writer(s3.address, FLUSH, &names);
    until_read(&second, sent + behind);
    second.delivers(sent + behind);
    say(&format!("another one, {behind} calls behind"), &second.process);
    println!();
}

fn until_read(writer: &Writer, calls: u64) {
    crate::support::until("the calls to be read", crate::log::LIMIT, || {
        let totals = &writer.status()["ledger"]["totals"];
        (totals["stored"].as_u64()? + totals["repeated"].as_u64()? >= calls).then_some(())
    });
}

fn send(
    collector: &Collector,
    bodies: &Arc<Bodies>,
    keys: &[String],
    pace: Pace,
    lasting: Duration,
) -> Outcome {
    let form = if bodies.calls_per_request() == 1 { Form::Single } else { Form::Envelope };
    let load = Load {
        target: collector.target(form),
        connections: 64,
        active: 64,
        write_keys: keys.to_vec(),
        pace,
        lasting,
        acked: None,
    };
    let outcome = generate(OTHER_CORE, &load, bodies);
    assert_eq!(outcome.refused, 0, "requests were refused");
    outcome
}

fn say(what: &str, process: &Process) {
    let megabytes = |bytes| bytes / 1_000_000;
    let status = process.told("status");
    let [anonymous, files] = ["RssAnon:", "RssFile:"].map(|name| number_after(&status, name) * 1_024);
    println!(
        "  {what}: {} MB at most; {} now, and {} of files",
        megabytes(process.peak_rss()),
        megabytes(anonymous),
        megabytes(files)
    );
}
