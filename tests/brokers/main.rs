//! Tests on three real brokers of Apache Kafka: `tests/kafka` sets them up and runs these tests. On a machine
//! without Java, or without Kafka's jars, they are skipped with a message.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]
#![allow(clippy::indexing_slicing, reason = "a test that cannot go on stops where it is")]
#![expect(
    clippy::disallowed_methods,
    reason = "brokers have real clocks, and folders of tools are named outside"
)]

mod callers;
mod cluster;
mod collectors;
mod collectors_alone;
mod conflicts;
mod create;
mod delivered;
mod delivers;
mod dev;
mod facts;
mod fight;
mod folder_store;
mod load;
mod outages;
mod partition;
mod process;
mod program;
mod releases;
mod rounds;
mod s3;
mod secured;
mod secured_broker;
mod served;
mod sources;
mod support;
#[path = "../suite/support/tcp_proxy.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod tcp_proxy;
mod terms;
mod writer_program;
mod writers;
