//! How the files of an `[[import]]` are found: `discovery` and `queue_url`.

use std::collections::BTreeMap;

use crate::queue::QueueAddress;

use super::import_settings::Discovery;
use super::reader::{self, Reader};
use super::values::{self, Words};

/// Which of both ways are used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    Scan,
    Queue,
    Both,
}

const DISCOVERY: Words<Ways> = &[("scan", Ways::Scan), ("sqs", Ways::Queue), ("both", Ways::Both)];

/// The queues so far, and whose they are.
pub(super) type Queues = BTreeMap<QueueAddress, String>;

/// Reads how files of the import with this name are found.
pub(super) fn discovery(reader: &mut Reader<'_>, name: &str, queues: &mut Queues) -> Discovery {
    let ways = reader.word("discovery", Ways::Scan, DISCOVERY);
    let queue = reader.optional("queue_url", |value| {
        let form = "\"https://sqs.eu-west-1.amazonaws.com/111122223333/files\"";
        let credentials = "credentials come from the AWS credential chain";
        QueueAddress::parse(&values::base_address(reader::text(value)?, form, credentials)?)
    });
    if ways != Ways::Scan && !reader.has("queue_url") {
        reader.refuse("queue_url", "is not set: discovery by notifications reads a queue");
    }
    if ways == Ways::Scan && reader.has("queue_url") {
        reader.refuse("queue_url", "is only for discovery = \"sqs\" or \"both\"");
    }
    let Some(queue) = queue else { return Discovery::Scan };
    match queues.get(&queue) {
        Some(other) => {
            let what = format!("is also the queue of import {other}: each import needs its own");
            reader.refuse("queue_url", what);
        }
        None => drop(queues.insert(queue.clone(), name.to_owned())),
    }
    match ways {
        Ways::Scan => Discovery::Scan,
        Ways::Queue => Discovery::Queue(queue),
        Ways::Both => Discovery::Both(queue),
    }
}

/// Refuses to read files in their order, and those of notifications as they come.
pub(super) fn refuse_serial(reader: &mut Reader<'_>, discovery: &Discovery, serial: bool) {
    if !serial || *discovery == Discovery::Scan {
        return;
    }
    let what = "imports files in the order in which they were stored, and notifications come in any order";
    match reader.has("serial") {
        true => reader.refuse("serial", format!("{what}: set serial = false, or discovery = \"scan\"")),
        false => reader.refuse(
            "discovery",
            format!("brings notifications, and strategy = \"mirror\" {what}: set serial = false, or discovery = \"scan\""),
        ),
    }
}
