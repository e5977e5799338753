//! Intake without HTTP, on a real spool: bytes in, a durable acknowledgement out. What the collector,
//! importers and tests can rely on alike.

use std::sync::Arc;

use forebay::call::{CallKind, Shape};
use forebay::ingest::{Ack, Arrival, Ingest, IngestDeps, IngestError, IngestSettings};
use forebay::log::frame::Origin;
use forebay::log::{AppendError, ImportKey, ImportProgress, ImportStep};
use forebay::metrics::{Metrics, SourceLabel};
use forebay::object::Stream;
use forebay::receipt::Receipt;
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::Clock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tempfile::TempDir;

use crate::support::crash::copy;
use crate::support::doubtful::{Doubt, Doubtful};
use crate::support::stored::{Stored, stored};

const FOUR: &str = r#"{"batch":[
    {"type":"track","event":"a","userId":"u","messageId":"1"},
    {"type":"page","userId":"u","messageId":"2"},
    {"type":"track","event":"a","userId":"u","messageId":"1"},
    {"type":"dance","userId":"u","messageId":"3"}]}"#;

struct Intake {
    ingest: Arc<Ingest>,
    doubtful: Arc<Doubtful>,
    metrics: Metrics,
    spool: Spool,
    dir: TempDir,
}

fn intake(settings: IngestSettings) -> Intake {
    opened(tempfile::tempdir().unwrap(), settings)
}

fn opened(dir: TempDir, settings: IngestSettings) -> Intake {
    let (clock, metrics): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::new()), Metrics::new());
    let random = Arc::new(SystemRandom);
    let disk = Arc::new(forebay::disk::real_disk::RealDisk::open(dir.path()).unwrap());
    let options = SpoolOptions { segment_bytes: 64 * 1_024, ..SpoolOptions::default() };
    let (spool, _) =
        Spool::open(disk, options, Arc::clone(&clock), &*random, Arc::new(metrics.clone())).unwrap();
    let doubtful = Doubtful::new(spool.appender());
    let deps = IngestDeps {
        clock,
        random,
        metrics: metrics.clone(),
        appender: Arc::clone(&doubtful) as _,
        fingerprinter: spool.fingerprinter(),
        live: Arc::default(),
    };
    Intake { ingest: Arc::new(Ingest::new(deps, settings)), doubtful, metrics, spool, dir }
}

impl Intake {
    async fn send(&self, source: &SourceId, body: &str) -> Result<Ack, IngestError> {
        self.send_step(source, body, None).await
    }

    async fn send_step(
        &self,
        source: &SourceId,
        body: &str,
        step: Option<ImportStep>,
    ) -> Result<Ack, IngestError> {
        let arrival = Arrival {
            source,
            received_at: self.ingest.received_now(),
            ip: None,
            client_side: false,
            user_agent: None,
            import: step,
        };
        let request = self.ingest.parse(body.as_bytes(), Shape::Envelope).unwrap();
        let lines = self.ingest.lines(&request, &arrival)?;
        self.ingest.append(lines).await
    }

    fn stored(&self, source: &SourceId) -> Vec<Stored> {
        stored(&*self.spool.log(), source.as_str())
    }
}

fn web() -> SourceId {
    SourceId::new("web").unwrap()
}

#[tokio::test]
async fn an_acknowledgement_counts_what_is_in_the_log_and_a_crash_keeps_it() {
    let intake = intake(IngestSettings { receipts: true, ..IngestSettings::default() });
    let ten = ImportProgress { next_row: 10, ..ImportProgress::default() };
    let file = intake.spool.imports().begin_import(ImportKey(1), ten).unwrap().file;
    let rows = Origin { file, first_row: 10, last_row: 13 };
    let step = Some(ImportStep { origin: rows, rejected: 0, known: 0, text: None });
    let ack = intake.send_step(&web(), FOUR, step).await.unwrap();
    assert_eq!((ack.calls, ack.rejected, ack.repeats), (3, 1, 1), "one call came twice");
    let progress =
        ImportProgress { next_row: 14, stored: 2, repeats: 1, refused: 1, rejected: 0, text: None };
    assert_eq!(ack.import, Some(progress));
    let receipt: Receipt = ack.receipts.unwrap().to_string().parse().unwrap();
    assert_eq!(receipt.positions(), 3, "a repeat has no position: {receipt:?}");
    // What a kill at this instant leaves.
    let left = tempfile::tempdir().unwrap();
    copy(intake.dir.path(), left.path());
    let after = opened(left, IngestSettings::default());
    for lines in [intake.stored(&web()), after.stored(&web())] {
        let of = |stream| lines.iter().filter(move |stored| stored.stream == stream);
        assert_eq!(of(Stream::Calls).count(), 2, "{lines:?}");
        assert_eq!(of(Stream::Rejected).count(), 1, "{lines:?}");
        assert!(
            lines.iter().all(|stored| stored.origin == Some(rows)),
            "each frame names its rows: {lines:?}"
        );
        assert!(lines.iter().any(|stored| stored.line.contains(r#""type":"page""#)), "{lines:?}");
    }
    let refused = after.send_step(&web(), FOUR, step).await;
    assert_eq!(refused, Err(IngestError::Append(AppendError::OtherRow { next: Some(14) })));
    let again = after.send(&web(), FOUR).await.unwrap();
    assert_eq!((again.calls, again.repeats), (3, 3), "what was acknowledged before the crash is known");
    assert_eq!(again.receipts, None, "receipts are off");
}

#[tokio::test]
async fn calls_of_an_unknown_outcome_are_stored_once_when_they_come_again() {
    const TWO: &str = r#"{"batch":[
        {"type":"track","event":"a","userId":"u","messageId":"1"},
        {"type":"page","userId":"u","messageId":"2"}]}"#;
    for (doubt, repeats) in [(Doubt::Stored, 2), (Doubt::NotStored, 0)] {
        let intake = intake(IngestSettings { receipts: true, ..IngestSettings::default() });
        intake.doubtful.next(doubt);
        let unknown = intake.send(&web(), TWO).await;
        assert_eq!(unknown, Err(IngestError::Append(AppendError::Unknown)));
        let counted = || {
            let label = SourceLabel { source: "web".to_owned() };
            let of =
                |family: &Family<SourceLabel, Counter>| family.get(&label).map_or(0, |count| count.get());
            (of(&intake.metrics.received), of(&intake.metrics.stored), of(&intake.metrics.repeated))
        };
        assert_eq!(counted(), (0, 0, 0), "{doubt:?}");
        let again = intake.send(&web(), TWO).await.unwrap();
        assert_eq!((again.calls, again.repeats, again.receipts.is_some()), (2, repeats, repeats == 0));
        assert_eq!(counted(), (2, 2 - u64::from(repeats), u64::from(repeats)), "{doubt:?}");
        assert_eq!(intake.stored(&web()).len(), 2, "{doubt:?}");
    }
}

#[tokio::test]
async fn nothing_to_store_is_acknowledged_without_the_log() {
    let intake = intake(IngestSettings { receipts: true, ..IngestSettings::default() });
    assert_eq!(intake.send(&web(), r#"{"batch":[]}"#).await, Ok(Ack::default()));
    assert_eq!(intake.stored(&web()), []);
}

/// A caller that is gone changes nothing: its lines are stored, and `finish` waits for them.
#[tokio::test]
async fn an_append_whose_caller_is_gone_is_stored_and_waited_for() {
    let intake = intake(IngestSettings::default());
    for n in 0..50 {
        let (ingest, source) = (Arc::clone(&intake.ingest), web());
        let body = format!(r#"{{"type":"track","event":"e","userId":"u","messageId":"{n}"}}"#);
        let request = ingest.parse(body.as_bytes(), Shape::Single(CallKind::Track)).unwrap();
        let arrival = Arrival {
            source: &source,
            received_at: ingest.received_now(),
            ip: None,
            client_side: false,
            user_agent: None,
            import: None,
        };
        let lines = ingest.lines(&request, &arrival).unwrap();
        let mut append = Box::pin(ingest.append(lines));
        // Polled once, so that the log has it, and dropped.
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(append.as_mut().poll(context))).await;
        drop((polled, append));
    }
    intake.ingest.finish().await;
    assert_eq!(intake.stored(&web()).len(), 50);
}

/// An importer beside the collector spends the same allowance, because it shares the `Ingest`.
#[tokio::test]
async fn all_who_send_for_a_source_share_its_rate() {
    let intake = intake(IngestSettings { calls_per_second: Some(1), ..IngestSettings::default() });
    let calls = vec![r#"{"type":"page","userId":"u"}"#; 40].join(",");
    let forty = format!(r#"{{"batch":[{calls}]}}"#);
    assert_eq!(intake.send(&web(), &forty).await.unwrap().calls, 40);
    let refused = intake.send(&web(), FOUR).await;
    assert!(matches!(refused, Err(IngestError::TooFast { .. })), "{refused:?}");
    assert_eq!(intake.stored(&web()).len(), 40, "nothing of it is stored");
    let other = SourceId::new("ios").unwrap();
    assert_eq!(intake.send(&other, FOUR).await.unwrap().calls, 3);
}
