//! What one call, one source and a clock that steps do to the other calls of a function.

use super::*;
use forebay::time::UnixMillis;

/// The clock of this machine, and how far its wall clock has stepped, in milliseconds.
#[derive(Debug)]
struct Stepping {
    clock: SystemClock,
    step: std::sync::atomic::AtomicI64,
}

impl Clock for Stepping {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.clock.wall().0 + self.step.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_clock_makes_no_dead_letters() {
    let dir = tempfile::tempdir().unwrap();
    let is_away = Arc::new(AtomicBool::new(true));
    let away = Arc::clone(&is_away);
    let functions = Functions::new(move |_, _| match away.load(Ordering::SeqCst) {
        true => Err(Class::Unavailable),
        false => Ok(()),
    });
    let clock = Arc::new(Stepping { clock: SystemClock::new(), step: 0.into() });
    let stepping: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let one_lane = vec![crm(&[("track", "f")], 8, HOUR)];
    let change = |deps: &mut Deps| deps.clock = stepping;
    let node = Node::start_changed(dir.path(), &functions, one_lane, 32 << 20, change).await;
    node.stores(calls(0, 200, "track")).await;
    let progress = node.progress();
    holds("all wait", || progress.seen().waiting.0 == 200).await;
    for hours in [5, -30, 48] {
        clock.step.store(hours * 3_600_000, Ordering::SeqCst);
        let before = functions.invoked("f").len();
        holds("the function was asked again", || functions.invoked("f").len() > before).await;
        // What comes after the step is no older.
        node.stores(calls(usize::try_from(1_000 + hours).unwrap(), 1, "track")).await;
    }
    assert_eq!(progress.seen().all_dead(), 0);
    is_away.store(false, Ordering::SeqCst);
    holds("all are taken", || progress.seen().succeeded() == 203).await;
    assert_eq!((progress.seen().all_dead(), node.dead_letters().len()), (0, 0));
    node.stopped().await;
}

/// A `url` that answers one call with 404: it was the probe of all others, which became dead letters.
#[tokio::test(flavor = "multi_thread")]
async fn one_call_that_a_url_refuses_stops_no_other_and_becomes_a_dead_letter() {
    let dir = tempfile::tempdir().unwrap();
    let functions = Functions::new(|call, _| match call["messageId"] == "track-0" {
        true => Err(Class::NotFound),
        false => Ok(()),
    });
    let url = FunctionsAt::Url(SecretText("http://127.0.0.1:9/".to_owned()));
    let settings = DestinationSettings { functions_at: url, ..crm(&[("track", URL)], 1, HOUR) };
    let node = Node::start(dir.path(), &functions, vec![settings]).await;
    node.stores(calls(0, 201, "track")).await;
    let progress = node.progress();
    holds("the others are taken", || progress.seen().succeeded() == 200).await;
    let mut next = 1_000;
    until("it is a dead letter", Duration::from_secs(120), async || {
        node.stores(calls(next, 1, "track")).await;
        next += 1;
        (progress.seen().all_dead() == 1).then_some(())
    })
    .await;
    let letters = node.dead_letters();
    assert_eq!(
        (&letters[0]["call"]["messageId"], &letters[0]["class"]),
        (&json!("track-0"), &json!("not-found"))
    );
    assert_eq!(letters[0]["attempts"], 5);
    node.stopped().await;
}
