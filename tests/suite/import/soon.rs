//! How long after its message the first row of a file is durable, while a reader is free.

use std::time::Duration;

use tokio::time::Instant;

use super::queues::{Stand, metrics};
use crate::serve::support::PATIENCE;
use crate::support::ministack::Ministack;
use crate::support::moto::Moto;
use crate::support::wait;

/// Files, unless `FOREBAY_SOON_FILES` is set.
const FILES: u32 = 20;
/// The limit for the 99th of a hundred files, on a machine that does nothing else.
const SOON: Duration = Duration::from_secs(5);

/// Puts one file after the other, each with one row. The time begins before the put, so also before the message.
async fn each_first_row_is_durable_soon(url: &str) {
    let wanted =
        std::env::var_os("FOREBAY_SOON_FILES").map(|files| files.into_string().unwrap().parse().unwrap());
    let files = wanted.unwrap_or(FILES);
    let stand = Stand::start(url, "sqs").await;
    let node = stand.serve().await;
    let mut took = Vec::new();
    for file in 0..files {
        let begun = Instant::now();
        stand.put(&format!("in/{file}"), 1).await;
        let stored = format!("became=\"stored\"}} {}\n", file + 1);
        wait::until("its row", PATIENCE, async || metrics(&node).await.contains(&stored).then_some(())).await;
        took.push(begun.elapsed());
    }
    took.sort();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100).saturating_sub(1)];
    eprintln!("{files} files: median {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
    // Other tests run at the same time, so that they may hold up the slowest; the median they hold up less.
    let held = if wanted.is_some() { at(99) } else { at(50) };
    assert!(held < SOON, "{took:?}");
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_first_row_is_durable_soon_after_the_message_of_moto() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    each_first_row_is_durable_soon(&moto.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_first_row_is_durable_soon_after_the_message_of_ministack() {
    let Some(ministack) = Ministack::start().await else { return };
    each_first_row_is_durable_soon(&ministack.url()).await;
}
