//! Dev mode with a log over Kafka: a collector and two writers in one process.

use forebay::kafka::create::Wanted;

use crate::cluster::cluster;
use crate::create::{make, wanted};
use crate::partition::Partition;
use crate::program::Program;
use crate::s3::calls_in;
use crate::served::Client;
use crate::support::{CALL, unique, until};

#[test]
fn dev_mode_takes_calls_of_any_source_and_delivers_each_once_also_after_a_kill() {
    let Some(cluster) = cluster() else { return };
    let data = tempfile::tempdir().unwrap();
    let stored = || calls_in(&data.path().join("s3"));
    let mut expected = Vec::new();
    let mut send = |at, count: usize| {
        let mut client = Client::new(at);
        for number in 0..count {
            let ids = [unique("call"), unique("call")];
            // Each write key is a source of its own.
            let answered = client.send(&format!("app-{}", number % 3), &ids, 10).unwrap();
            assert_eq!(answered.status, 200, "{answered:?}");
            expected.extend(ids);
        }
        expected.clone()
    };
    let delivers = |program: &Program, partitions| {
        until("both writers to deliver", CALL * 4, || {
            let status = program.json("/api/status");
            let owned = status["kafka"]["owned"].as_array()?;
            let all = owned.len() == partitions && owned.iter().all(|one| one["standing"] == "delivers");
            all.then_some(status.clone())
        })
    };
    let first = Program::dev(&cluster.brokers(), data.path());
    let status = delivers(&first, 4);
    assert_eq!(status["kafka"]["role"], "dev", "{status}");
    assert_eq!(
        (&status["ready"], &status["kafka"]["sending"]["refused"]),
        (&true.into(), &0.into()),
        "{status}"
    );
    send(first.at(), 30);
    first.kill();

    // Dev mode uses a log with more partitions than it would make.
    let partition = Partition::named(&cluster.brokers(), "forebay-dev");
    make(&partition, Wanted { replication: 1, ..wanted(5) }).unwrap();

    let second = Program::dev(&cluster.brokers(), data.path());
    let mut all = send(second.at(), 30);
    all.sort();
    until("all calls to be stored", CALL * 6, || (stored().len() >= all.len()).then_some(()));
    assert_eq!(stored(), all);
    let status = until("the ledger to have them", CALL, || {
        let status = second.json("/api/status");
        (status["ledger"]["totals"]["delivered"] == all.len()).then_some(status.clone())
    });
    assert_eq!(status["ledger"]["balanced"], true, "{status}");
    assert_eq!(status["totals"]["received"], 60, "{status}");
    assert_eq!(status["alarms"], serde_json::json!([]), "{status}");
    delivers(&second, 5);
    let mut more = send(second.at(), 5);
    // What is read before the end is delivered by it. The rest waits in the log.
    until("the calls to be read", CALL, || {
        let totals = second.json("/api/status")["ledger"]["totals"].clone();
        (totals["stored"] == more.len()).then_some(())
    });
    second.end();
    more.sort();
    assert_eq!(stored(), more);
}
