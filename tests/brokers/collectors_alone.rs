//! Collectors while brokers are killed and stopped: no 200 that is not stored once, and 503 in time.

use std::time::{Duration, Instant};

use forebay::partition::producing::PARTITION_BYTES_MAX;

use crate::cluster::{Cluster, cluster_alone};
use crate::delivers::{Delivers, check, say};
use crate::load::{Load, Pace};
use crate::partition::Partition;
use crate::served::{Client, Served, Serving};
use crate::support::{CALL, admin, resident_kb, seconds, until};

/// Requests of each client that are refused while two brokers are stopped: longer than any time-out of a broker.
const REFUSED: u64 = 6;

/// The broker that leads a partition.
fn leader(cluster: &Cluster, topic: &str, partition: i32) -> usize {
    let client = admin(cluster);
    let metadata = client.inner().fetch_metadata(Some(topic), CALL).unwrap();
    let of = metadata.topics()[0].partitions().iter().find(|one| one.id() == partition).unwrap();
    usize::try_from(of.leader()).unwrap()
}

#[test]
fn a_leader_that_is_killed_loses_and_doubles_nothing() {
    let Some(mut cluster) = cluster_alone() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let served = Served::start(&partition);
    let delivers = Delivers::start(&partition);
    let load = Load::start(&[served.at], Pace::default());
    load.answers(300);
    let killed = leader(&cluster, &partition.settings.topic, 0);
    cluster.kill(killed);
    until("another leader", CALL * 2, || {
        (leader(&cluster, &partition.settings.topic, 0) != killed).then_some(())
    });
    load.answers(300);
    cluster.make_whole();
    load.answers(300);
    let seen = load.end();
    check(&delivers, &seen);
    say(&format!("{:?}", served.status().standing));
    served.end();
    delivers.end();
}

#[test]
fn without_two_of_three_brokers_there_is_no_200_and_nothing_is_lost() {
    let Some(mut cluster) = cluster_alone() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let within = Duration::from_secs(3);
    let served = Served::with(&partition, Serving { answer_within: within, ..Serving::default() });
    let delivers = Delivers::start(&partition);
    let pace = Pace::default();
    let load = Load::start(&[served.at], pace);
    load.answers(300);
    let stopped = leader(&cluster, &partition.settings.topic, 0);
    let also = stopped % 3 + 1;
    [stopped, also].iter().for_each(|id| cluster.stop(*id));
    let began = Instant::now();
    // Each waits for as long as a collector may.
    load.is_refused(REFUSED * pace.clients as u64);
    let woke = Instant::now();
    [stopped, also].iter().for_each(|id| cluster.wake(*id));
    cluster.make_whole();
    load.answers(300);
    let seen = load.end();
    // A block whose copies were made before the brokers stopped may still be reported.
    let between = |at: &Instant| *at > began + Duration::from_secs(1) && *at < woke;
    let stored = seen.answered.iter().filter(|(at, _)| between(at)).count();
    let refused: Vec<_> = seen.refused.iter().filter(|(at, ..)| between(at)).collect();
    say(&format!("while two brokers were stopped: {stored} requests got 200, {} got 503", refused.len()));
    assert_eq!(stored, 0);
    assert!(refused.len() > 4 && refused.iter().all(|(_, status, _)| *status == 503), "{refused:?}");
    let late = refused.iter().map(|(.., after)| *after).max().unwrap();
    assert!(late < within + Duration::from_secs(2), "an answer came after {late:?}");
    check(&delivers, &seen);
    say(&format!("{:?}", served.status().standing));
    served.end();
    delivers.end();
}

#[test]
fn while_kafka_is_away_there_is_503_and_memory_is_flat() {
    let Some(mut cluster) = cluster_alone() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let within = Duration::from_secs(3);
    let away = seconds("FOREBAY_KAFKA_AWAY", 30);
    let served = Served::with(&partition, Serving { answer_within: within, ..Serving::default() });
    let delivers = Delivers::start(&partition);
    let mut client = Client::new(served.at);
    assert_eq!(client.send("web", &["before".to_owned()], 9).unwrap().status, 200);
    (1..=3).for_each(|id| cluster.stop(id));
    let began = Instant::now();
    // More than fits into the windows of the partitions of these sources.
    let pace = Pace {
        clients: 48,
        batch: 20,
        more: 30_000,
        pause: Duration::ZERO,
        again_after: away / 300,
        ..Pace::default()
    };
    let load = Load::start(&[served.at], pace);
    let (mut memory, mut most) = (Vec::new(), 0);
    while began.elapsed() < away {
        memory.push(resident_kb());
        most = most.max(served.status().standing.bytes);
        std::thread::sleep(Duration::from_millis(100));
    }
    let woke = Instant::now();
    cluster.make_whole();
    let seen = load.end();
    let (half, end) = (memory[memory.len() / 2], *memory.last().unwrap());
    let refused: Vec<_> = seen.refused.iter().filter(|(at, ..)| *at < woke).collect();
    let late = refused.iter().map(|(.., after)| *after).max().unwrap();
    say(&format!(
        "Kafka away for {away:.0?}: {} requests got 503, the last answer after {late:.1?}; {} MB waited at most; \
         memory {} MB after half of the time, {} MB at its end",
        refused.len(),
        most / 1_000_000,
        half / 1_000,
        end / 1_000,
    ));
    assert!(refused.iter().all(|(_, status, _)| *status == 503));
    assert!(late < within + Duration::from_secs(2));
    assert_eq!(seen.answered.iter().filter(|(at, _)| *at < woke).count(), 0);
    assert!(most <= 3 * PARTITION_BYTES_MAX, "{most} bytes waited");
    assert!(end < half + 25_000, "memory grows from {half} to {end} KB");
    check(&delivers, &seen);
    served.end();
    delivers.end();
}
