//! CPU per call at collector and writer, beside the whole way without Kafka; and with eight partitions.

use std::sync::Arc;
use std::time::Duration;

use crate::Bench;
use crate::beside::generate;
use crate::load::bodies::Form;
use crate::load::{Bodies, Load, Pace, Target};
use crate::log::{Blocks, Collector, Log, OFTEN, Writer, one_for_each};
use crate::node::{Node, SPOOL_MAX, Setup};
use crate::s3::S3;
use crate::{CORE, OTHER_CORE, bucket, directory, show};

const CALLS: usize = 100;
const CONNECTIONS: usize = 64;
const MANY: u32 = 8;
/// The segments of one partition are then as long as those of a spool, and used again as soon.
const CACHE: &str = "1 GB";
/// Load goes on in pieces of this length until there are enough calls.
const PIECE: Duration = Duration::from_secs(1);

/// A collector and a writer of one log.
struct Pair {
    /// Its folder lasts as long.
    _log: Log,
    collector: Collector,
    writer: Writer,
    sent: u64,
}

/// Microseconds of CPU a call.
#[derive(Clone, Copy, Debug)]
struct Cost {
    collector: f64,
    writer: f64,
}

/// What a call cost in a round: without Kafka, and with each of the pairs.
type Round = (f64, [Cost; 3]);

/// Measures and prints.
pub(crate) fn measure(bench: &Bench<'_>) {
    let args = bench.args;
    let names = one_for_each(MANY);
    let bodies = Arc::new(Bodies::new(CALLS));
    let (dir, spool, buckets) =
        (directory(&args.memory_dir), directory(&args.dir), directory(&args.memory_dir));
    let setup = Setup {
        program: bench.program(),
        dir: dir.path(),
        spool: spool.path(),
        cores: CORE,
        s3_cores: OTHER_CORE,
        sources: 0,
        tls: false,
        flush_bytes: 2_000_000,
        spool_max: SPOOL_MAX,
    };
    let of_sources: String = names
        .iter()
        .map(|name| format!("[[source]]\nid = \"{name}\"\nwrite_keys = [\"{name}\"]\n"))
        .collect();
    let alone = Node::start_with(&setup, &of_sources);
    let s3 = S3::start(bench.program(), buckets.path(), OTHER_CORE);
    let pair = |name: &str, partitions: usize, blocks: Blocks| {
        let log = Log::make(bench, name, partitions);
        let (collector, writer) =
            (log.collector(blocks, &names), log.writer_with_cache(s3.address, OFTEN, &names, CACHE));
        Pair { _log: log, collector, writer, sent: 0 }
    };
    let mut pairs = [
        pair("cpu-plain", 1, Blocks::Plain),
        pair("cpu-lz4", 1, Blocks::Lz4),
        pair("cpu-many", MANY as usize, Blocks::Lz4),
    ];
    let load = |target: Target| Load {
        target,
        connections: CONNECTIONS,
        active: CONNECTIONS,
        write_keys: names.clone(),
        pace: Pace::Closed,
        lasting: PIECE,
        acked: None,
    };
    let mut without = 0;
    let mut run_alone = |calls| {
        let cpu = alone.collector.cpu();
        let sent = send(&load(alone.target(Form::Envelope.path())), &bodies, calls);
        alone.flush();
        without += sent;
        a_call(alone.collector.cpu().saturating_sub(cpu), sent)
    };
    run_alone(args.calls);
    for pair in &mut pairs {
        pair.run(&load(pair.collector.target(Form::Envelope)), &bodies, args.calls);
    }
    let mut rounds: Vec<Round> = Vec::new();
    println!("CPU, us a call, batches of {CALLS}, {MANY} sources, {CONNECTIONS} connections");
    for round in 0..args.rounds {
        let mut costs = [Cost { collector: 0.0, writer: 0.0 }; 3];
        let mut of_alone = 0.0;
        // Every second time in reverse order, so that a drift of the machine favours none.
        let mut order = [0, 1, 2, 3];
        if round % 2 == 1 {
            order.reverse();
        }
        for one in order {
            match one {
                0 => of_alone = run_alone(args.calls),
                one => {
                    let pair = &mut pairs[one - 1];
                    costs[one - 1] =
                        pair.run(&load(pair.collector.target(Form::Envelope)), &bodies, args.calls);
                }
            }
        }
        let [plain, lz4, many] = costs;
        println!(
            "  round {}: without Kafka {of_alone:.2}; collector {:.2}, with lz4 {:.2}; writer {:.2}, with lz4 {:.2}, with \
             {MANY} partitions {:.2}",
            round + 1,
            plain.collector,
            lz4.collector,
            plain.writer,
            lz4.writer,
            many.writer
        );
        rounds.push((of_alone, costs));
    }
    let each = |of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    println!("medians of {} rounds in turns (least to most)", rounds.len());
    show("without Kafka, us a call", "", 2, each(|(alone, _)| *alone));
    show("collector, us a call", "", 2, each(|(_, costs)| costs[0].collector));
    show("collector, lz4, us a call", "", 2, each(|(_, costs)| costs[1].collector));
    show("collector, lz4, 8 partitions, us a call", "", 2, each(|(_, costs)| costs[2].collector));
    show("writer, us a call", "", 2, each(|(_, costs)| costs[0].writer));
    show("writer, lz4, us a call", "", 2, each(|(_, costs)| costs[1].writer));
    show("writer, lz4, 8 partitions, us a call", "", 2, each(|(_, costs)| costs[2].writer));
    show("collector / without Kafka", "at most 0.75", 3, each(|(alone, costs)| costs[0].collector / alone));
    show(
        "collector, lz4 / without Kafka",
        "at most 1.0",
        3,
        each(|(alone, costs)| costs[1].collector / alone),
    );
    show("writer / without Kafka", "at most 0.95", 3, each(|(alone, costs)| costs[0].writer / alone));
    show("writer, lz4 / without Kafka", "at most 0.95", 3, each(|(alone, costs)| costs[1].writer / alone));
    show("writer, 8 partitions / 1", "at most 1.1", 3, each(|(_, costs)| costs[2].writer / costs[1].writer));
    let sent: u64 = pairs.iter().map(|pair| pair.sent).sum();
    let lines = |dir| bucket::contents(dir, &Default::default()).1.lines;
    assert_eq!((lines(&alone.s3_dir), lines(&s3.dir)), (without, sent), "each call is in the bucket once");
    println!("  {without} and {sent} calls, each in its bucket once\n");
}

fn a_call(cpu: Duration, calls: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "calls of some seconds")]
    let calls = calls as f64;
    cpu.as_secs_f64() * 1e6 / calls
}

/// Sends at least so many calls. The last objects of a round are compressed at leisure, which costs more: they are the
/// same part of each figure only if each is of as many calls. Returns how many were sent.
fn send(load: &Load, bodies: &Arc<Bodies>, calls: u64) -> u64 {
    let mut sent = 0;
    while sent < calls {
        let outcome = generate(OTHER_CORE, load, bodies);
        assert_eq!(outcome.refused, 0, "requests were refused");
        sent += outcome.calls;
    }
    sent
}

impl Pair {
    fn run(&mut self, load: &Load, bodies: &Arc<Bodies>, calls: u64) -> Cost {
        let cpu = || (self.collector.process.cpu(), self.writer.process.cpu());
        let before = cpu();
        let sent = send(load, bodies, calls);
        self.sent += sent;
        self.writer.delivers(self.sent);
        let after = cpu();
        Cost {
            collector: a_call(after.0.saturating_sub(before.0), sent),
            writer: a_call(after.1.saturating_sub(before.1), sent),
        }
    }
}
