//! Answers of a collector to one client at a time, beside the same records produced alone, by the same library with
//! the same settings.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hdrhistogram::Histogram;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext};
use rdkafka::{Message as _, Offset};

use crate::beside::generate;
use crate::load::bodies::Form;
use crate::load::{Bodies, Load, Outcome, Pace, now};
use crate::log::{Blocks, Log, one_for_each};
use crate::support::{CALL, reader};
use crate::{Args, Bench, OTHER_CORE, show};

/// Different records.
const RECORDS: usize = 20;

/// Passes on whether a record is stored.
#[derive(Debug)]
struct Told(mpsc::Sender<bool>);

impl ClientContext for Told {}

impl ProducerContext for Told {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        // At the end nobody waits.
        self.0.send(report.is_ok()).unwrap_or(());
    }
}

/// Measures and prints.
pub(crate) fn measure(bench: &Bench<'_>) {
    let args = bench.args;
    let names = one_for_each(1);
    let (log, beside) = (Log::make(bench, "answers", 1), Log::make(bench, "beside", 1));
    let collector = log.collector(Blocks::Lz4, &names);
    let bodies = Arc::new(Bodies::new(100));
    let load = Load {
        target: collector.target(Form::Envelope),
        connections: 1,
        active: 1,
        write_keys: names,
        pace: Pace::Closed,
        lasting: Duration::from_secs(2),
        acked: None,
    };
    let warm_up = generate(OTHER_CORE, &load, &bodies);
    assert_eq!(warm_up.refused, 0, "requests were refused");
    let blocks = blocks(bench, &log.topic());
    let (told, reports) = mpsc::channel();
    let producer: BaseProducer<Told> =
        log.producer_settings().create_with_context(Told(told)).expect("a producer");
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // As a collector does: a poll lasts as long as it is told, and passes on reports meanwhile.
        scope.spawn(|| {
            while !ends.load(Ordering::Acquire) {
                producer.poll(Duration::from_millis(100));
            }
        });
        let mut next = blocks.iter().cycle();
        let mut produce = |count: usize, took: &mut Histogram<u64>| {
            for block in next.by_ref().take(count) {
                let began = now();
                let topic = beside.topic();
                let record = BaseRecord::<(), [u8]>::to(&topic).partition(0).payload(block);
                producer.send(record).map_err(|(error, _)| error).expect("room for a record");
                assert!(reports.recv().expect("a report"), "the record is stored");
                record_time(took, began.elapsed());
            }
        };
        produce(RECORDS, &mut histogram());
        compare(args, &mut produce, || {
            let some = Load { lasting: Duration::from_millis(100), ..load.clone() };
            generate(OTHER_CORE, &some, &bodies)
        });
        ends.store(true, Ordering::Release);
    });
}

/// Answers and records in turns.
fn compare(args: &Args, produce: &mut dyn FnMut(usize, &mut Histogram<u64>), answer: impl Fn() -> Outcome) {
    println!("answers to one client with batches of 100, beside the same records produced alone, ms");
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let (mut answers, mut alone) = (histogram(), histogram());
        while answers.len() < args.answers as u64 {
            let outcome = answer();
            assert_eq!(outcome.refused, 0, "requests were refused");
            answers.add(outcome.latencies).expect("the same bounds");
            produce(usize::try_from(outcome.requests).unwrap(), &mut alone);
        }
        let at = |of: &Histogram<u64>, quantile| {
            #[expect(clippy::cast_precision_loss, reason = "nanoseconds")]
            let nanos = of.value_at_quantile(quantile) as f64;
            nanos / 1e6
        };
        let figures = [at(&answers, 0.5), at(&alone, 0.5), at(&answers, 0.99), at(&alone, 0.99)];
        println!(
            "  round {}: {} each; median {:.2}, alone {:.2}; p99 {:.2}, alone {:.2}",
            round + 1,
            answers.len(),
            figures[0],
            figures[1],
            figures[2],
            figures[3]
        );
        rounds.push(figures);
    }
    show("median of answers, ms", "", 2, rounds.iter().map(|round| round[0]));
    show("median of records alone, ms", "", 2, rounds.iter().map(|round| round[1]));
    show(
        "median of answers / of records alone",
        "at most 1.5",
        2,
        rounds.iter().map(|round| round[0] / round[1]),
    );
    show("p99 of answers, ms", "no goal", 2, rounds.iter().map(|round| round[2]));
    show("p99 of records alone, ms", "", 2, rounds.iter().map(|round| round[3]));
    println!();
}

/// What the collector has produced, up to a number.
fn blocks(bench: &Bench<'_>, topic: &str) -> Vec<Vec<u8>> {
    let reader = reader(bench.cluster, topic, Offset::Beginning, &[]);
    let mut next = || loop {
        match reader.poll(CALL).expect("a record, or the end") {
            Ok(message) => return Some(message.payload().expect("a block").to_vec()),
            Err(KafkaError::PartitionEOF(_)) => return None,
            Err(error) => eprintln!("the records are read again: {error}"),
        }
    };
    let blocks: Vec<Vec<u8>> = std::iter::from_fn(&mut next).take(RECORDS).collect();
    assert!(!blocks.is_empty(), "the collector has produced something");
    blocks
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("valid bounds of a histogram")
}

fn record_time(times: &mut Histogram<u64>, time: Duration) {
    times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}
