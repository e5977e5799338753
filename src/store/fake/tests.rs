use std::future::Future;
use std::pin::pin;
use std::task::Context;

use super::*;
use crate::object::BucketString;

fn a_put(text: &str) -> Put {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    Put {
        location: S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3),
        key: serde_json::from_value("segment-logs/s/0/1.gz".into()).unwrap(),
        crc32: crc32fast::hash(&bytes),
        body: Body::Bytes(bytes),
        content_encoding: Some("gzip"),
        metadata: vec![("forebay-calls", "1".to_owned())],
        tags: Vec::new(),
        mode: PutMode::CreateOnly,
    }
}

/// Polls once, without a runtime.
fn poll<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn put_now(store: &FakeStore, put: &Put) -> Result<Stored, Fault> {
    match poll(store.put(put).as_mut()) {
        Poll::Ready(answer) => answer.map_err(|err| err.fault),
        Poll::Pending => panic!("a put without a gate must not wait"),
    }
}

#[test]
fn each_step_applies_and_answers_as_documented() {
    let check = |step: Step, applied: bool, fault: Option<Fault>| {
        let store = FakeStore::new();
        store.script([step.clone()]);
        assert_eq!(put_now(&store, &a_put("x")).err(), fault, "{step:?}");
        assert_eq!(store.keys().len(), usize::from(applied), "{step:?}");
        assert_eq!(store.steps_left(), 0);
    };
    check(Step::Proper, true, None);
    check(Step::SLOW_DOWN, false, Some(Fault::Transient));
    check(Step::BUSY, false, Some(Fault::Busy));
    check(Step::EXISTS, false, Some(Fault::Exists));
    check(Step::REFUSED, false, Some(Fault::Refused));
    check(Step::DIGEST, false, Some(Fault::Digest));
    check(Step::LoseAnswer, true, Some(Fault::Transient));
    check(Step::ApplyLate, false, Some(Fault::Transient));
}

#[test]
fn a_delayed_put_does_not_replace_an_object_put_meanwhile() {
    let store = FakeStore::new();
    store.script([Step::ApplyLate]);
    assert_eq!(put_now(&store, &a_put("late")).err(), Some(Fault::Transient));
    put_now(&store, &a_put("first")).unwrap();
    store.apply_late();
    let object = store.object("bucket", "segment-logs/s/0/1.gz").unwrap();
    assert_eq!((&object.bytes[..], object.writes), (&b"first"[..], 1));
}

#[test]
fn a_gate_holds_the_request_or_the_answer() {
    let check = |step: fn(Gate) -> Step, applied_while_held: usize| {
        let (store, gate, put) = (FakeStore::new(), Gate::new(), a_put("x"));
        store.script([step(gate.clone())]);
        let mut future = pin!(store.put(&put));
        assert!(poll(future.as_mut()).is_pending());
        assert!(gate.is_awaited());
        assert_eq!(store.keys().len(), applied_while_held);
        gate.open();
        assert!(matches!(poll(future.as_mut()), Poll::Ready(Ok(_))));
        assert_eq!(store.keys().len(), 1);
    };
    check(Step::HoldRequest, 0);
    check(Step::HoldAnswer, 1);
}

#[test]
fn holding_a_bucket_does_not_hold_other_buckets() {
    let store = FakeStore::new();
    let gate = store.hold_bucket("bucket");
    let (held, mut free) = (a_put("x"), a_put("x"));
    free.location.bucket = BucketString::parse("other-bucket").unwrap();
    let mut future = pin!(store.put(&held));
    assert!(poll(future.as_mut()).is_pending());
    put_now(&store, &free).unwrap();
    gate.open();
    assert!(poll(future.as_mut()).is_ready());
}
