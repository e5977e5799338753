//! Checks the order of the running program's system calls with strace: no 200 before the sync that covers its
//! calls.
//!
//! Calls that arrive at about the same time form one commit group: one `pwritev` appends them to the open
//! segment, one `fdatasync` of that file covers them all, and then each of their requests is answered. So one
//! sync covers many answers, and an answer is proved by a write that contains its calls, followed by a sync
//! of the same file.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt::Write as _;

use memchr::memmem;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::load::{Answers, Journal, Load};
use super::stand::Stand;
use super::system_calls::{SystemCall, parse};
use super::tracer::Tracer;

/// The traced calls: all by which the program moves bytes through a socket or into a file. A missing one
/// would be noticed, because each answer that a client got is counted.
const LOOKED_AT: &str = "trace=read,readv,recvfrom,write,writev,sendto,pwrite64,pwritev,fdatasync,fsync";
/// The number of acknowledged calls.
const CALLS: usize = 600;
/// No batch is due during the test: only the appending thread writes and syncs often, so an injected failure
/// hits its call.
const MAX_AGE: &str = "1 h";
const SPOOL: &str = "unsafe_filesystem = true";
/// How many calls in a row may hit another file than a segment.
const TRIES: u32 = 4;

/// The facts in a trace.
#[derive(Debug, Default)]
struct Verdict {
    /// 200 answers to requests with calls, and how many of those had one call.
    answers: usize,
    alone: usize,
    /// Calls in them.
    calls: usize,
    /// Connections that carried them.
    connections: BTreeSet<String>,
    /// Syncs of segments that cover them.
    syncs: BTreeSet<usize>,
    /// Writes and syncs of segments that failed.
    failures: usize,
    /// Violations.
    wrong: Vec<String>,
}

/// Compares each 200 with the writes and syncs before it.
fn judge(record: &str) -> Verdict {
    let calls = parse(record);
    let mut verdict = Verdict::default();
    let segments: Vec<&SystemCall> = calls.iter().filter(|call| is_segment(&call.file)).collect();
    for call in &segments {
        verdict.failures += usize::from(call.result.is_some_and(|result| result < 0));
        if call.cut {
            verdict.wrong.push(format!("line {}: the trace does not show all written bytes", call.began));
        }
    }
    let mut unanswered: HashMap<&str, Vec<&SystemCall>> = HashMap::new();
    for call in &calls {
        if matches!(call.name.as_str(), "read" | "readv" | "recvfrom") {
            unanswered.entry(&call.file).or_default().push(call);
            continue;
        }
        // 100 is not a final answer.
        if !call.bytes.starts_with(b"HTTP/1.1 ") || call.bytes.starts_with(b"HTTP/1.1 1") {
            continue;
        }
        let reads = unanswered.remove(call.file.as_str()).unwrap_or_default();
        let (request, later): (Vec<_>, Vec<_>) =
            reads.into_iter().partition(|read| read.ended_before(call.began));
        unanswered.insert(&call.file, later);
        if !call.bytes.starts_with(b"HTTP/1.1 200 ") {
            continue;
        }
        let request: Vec<u8> = request.iter().flat_map(|read| read.moved()).copied().collect();
        let ids = message_ids(&request);
        if ids.is_empty() {
            continue;
        }
        verdict.answers += 1;
        verdict.alone += usize::from(ids.len() == 1);
        verdict.calls += ids.len();
        verdict.connections.insert(call.file.clone());
        for id in ids {
            match covering_sync(&segments, id, call.began) {
                Ok(sync) => drop(verdict.syncs.insert(sync)),
                Err(why) => {
                    let id = String::from_utf8_lossy(id);
                    verdict.wrong.push(format!("line {}: 200 to {id}: {why}", call.began));
                }
            }
        }
    }
    verdict
}

/// The line of the sync that made a call durable before an answer to it began.
fn covering_sync(segments: &[&SystemCall], id: &[u8], answer: usize) -> Result<usize, &'static str> {
    let id = memmem::Finder::new(id);
    let holds_it = |call: &&&SystemCall| call.name.contains("write") && id.find(call.moved()).is_some();
    let written = segments.iter().rev().filter(|call| call.ended_before(answer)).find(holds_it);
    let Some(write) = written else { return Err("it was not written") };
    let later = segments.iter().filter(|call| call.file == write.file && call.began < answer);
    let later = later.filter(|call| call.ended.is_none_or(|ended| ended > write.began) && call != &write);
    let mut covering = Err("no sync began after its write had ended");
    for call in later {
        let overlaps = |(begin, end), (at, behind)| at < end && begin < behind;
        if write.range().zip(call.range()).is_some_and(|(mine, other)| overlaps(mine, other)) {
            return Err("it was overwritten");
        }
        if !call.name.ends_with("sync") || !call.ended_before(answer) || covering.is_ok() {
            continue;
        }
        match call.result {
            Some(0) if write.ended_before(call.began) => covering = Ok(call.began),
            // The kernel may have dropped data that failed to sync, so a later successful sync proves
            // nothing.
            Some(..0) => return Err("a sync of it failed"),
            _ => {}
        }
    }
    covering
}

/// Whether a path is that of a segment under its final name.
fn is_segment(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with("wal-") && name.ends_with(".seg"))
}

/// All message ids in requests.
fn message_ids(requests: &[u8]) -> Vec<&[u8]> {
    const BEFORE: &[u8] = b"\"messageId\":\"";
    let found = memmem::find_iter(requests, BEFORE).map(|at| &requests[at + BEFORE.len()..]);
    found.filter_map(|rest| rest.split(|byte| *byte == b'"').next()).collect()
}

/// One life under load, to its end, in which a call may fail. `None` if system calls cannot be traced here.
async fn life(failure: Option<&str>) -> Option<(Verdict, Answers, Journal)> {
    let stand = Stand::start().await;
    let config = stand.config(&stand.folder.path().join("spool"), SPOOL, MAX_AGE);
    let (mut journal, mut random) = (Journal::default(), StdRng::seed_from_u64(4));
    let forebay = stand.serve(&config).await;
    // Strings long enough for every commit group.
    let mut arguments: Vec<OsString> = ["-y", "-s", "65536", "-e", LOOKED_AT].map(Into::into).into();
    if let Some(failure) = failure {
        arguments.extend(["-e".into(), format!("inject={failure}").into()]);
    }
    let tracer = Tracer::attach(&forebay, stand.folder.path(), arguments).await?;
    let load = Load::start_small(&forebay.collector, &mut journal, &mut random);
    let answers = if failure.is_none() {
        load.until_acknowledged(CALLS).await;
        let answers = load.stop(&mut journal).await;
        assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
        answers
    } else {
        assert!(!forebay.exit().await.success(), "{failure:?}: it ended with success");
        load.stop(&mut journal).await
    };
    let verdict = judge(&tracer.record().await);
    eprintln!(
        "{}: {} answers 200 (to one call: {}) on {} connections, to {} calls, covered by {} syncs; {answers:?}",
        failure.unwrap_or("nothing fails"),
        verdict.answers,
        verdict.alone,
        verdict.connections.len(),
        verdict.calls,
        verdict.syncs.len(),
    );
    assert_eq!(verdict.wrong, Vec::<String>::new(), "{failure:?}");
    assert!(verdict.answers >= answers.accepted && verdict.calls >= journal.acknowledged(), "{failure:?}");
    Some((verdict, answers, journal))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_200_is_written_after_the_sync_that_covers_its_calls() {
    let Some((verdict, answers, journal)) = life(None).await else { return };
    assert_eq!((answers.refused, answers.none, verdict.failures), (0, 0, 0));
    // No answer that a client got is missing in the trace.
    assert_eq!((verdict.answers, verdict.calls), (answers.accepted, journal.acknowledged()));
    let (connections, alone) = (verdict.connections.len(), verdict.alone);
    assert!(connections > 1 && verdict.answers > 10 * connections, "{connections} connections");
    assert!(alone > 0 && alone < verdict.answers, "{alone} answers to one call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_200_is_written_to_calls_whose_write_or_sync_fails() {
    for (call, first) in [
        ("fdatasync:error=EIO", 11),
        ("fdatasync:error=ENOSPC", 40),
        ("pwritev:error=EIO", 40),
        ("pwritev:error=ENOSPC", 25),
    ] {
        let mut nth = first;
        loop {
            let failure = format!("{call}:when={nth}");
            let Some((verdict, answers, _)) = life(Some(&failure)).await else { return };
            // On a slow machine, the call may be one on another file: the manifest, or a segment before it
            // has its name.
            if verdict.failures == 0 && nth < first + TRIES {
                nth += 1;
                continue;
            }
            assert_eq!(verdict.failures, 1, "{failure}: one call on a segment must fail");
            assert!(answers.refused > 0, "{failure}: waiting requests must be refused: {answers:?}");
            assert!(verdict.answers > 0, "{failure}: it came before any answer");
            break;
        }
    }
}

/// Requests with two calls and with one call, on two connections, stored by one group.
const ASKED: &str = "\
1 recvfrom(9<socket:[31]>, \"POST /v1/batch HTTP/1.1\\r\\n\\r\\n{\\\"batch\\\":[{\\\"messageId\\\":\\\"m-1\\\"},\", 8192, 0, NULL, NULL) = 58
1 recvfrom(9<socket:[31]>, \"{\\\"messageId\\\":\\\"m-2\\\"}]}\", 8192, 0, NULL, NULL) = 21
2 recvfrom(8<socket:[32]>, \"POST /v1/track HTTP/1.1\\r\\n\\r\\n{\\\"messageId\\\":\\\"m-3\\\"}\", 8192, 0, NULL, NULL) = 46
";
const WRITTEN: &str = "\
3 pwritev(7</s/wal-1.seg>, [{iov_base=\"\\1\\2\", iov_len=2}, {iov_base=\"m-1\\0m-2\", iov_len=7}, {iov_base=\"m-3\", iov_len=3}], 3, 4096) = 12
";
const SYNCED: &str = "3 fdatasync(7</s/wal-1.seg>) = 0\n";
const FAILED: &str = "3 fdatasync(7</s/wal-1.seg>) = -1 EIO (Input/output error) (INJECTED)\n";
const ANSWERED: &str = "\
1 writev(9<socket:[31]>, [{iov_base=\"HTTP/1.1 200 OK\\r\\n\\r\\n\", iov_len=19}, {iov_base=\"{}\", iov_len=2}], 2) = 21
2 sendto(8<socket:[32]>, \"HTTP/1.1 200 OK\\r\\n\\r\\n{}\", 21, MSG_NOSIGNAL, NULL, 0) = 21
";
const REFUSED: &str =
    "1 sendto(9<socket:[31]>, \"HTTP/1.1 503 Later\\r\\n\\r\\n\", 22, MSG_NOSIGNAL, NULL, 0) = 22\n";

fn judged(parts: &[&str]) -> Verdict {
    judge(&parts.iter().fold(String::new(), |mut record, part| {
        write!(record, "{part}").expect("a string takes all");
        record
    }))
}

#[test]
fn an_answer_after_its_sync_is_accepted() {
    let again = "1 read(9<socket:[31]>, \"POST /v1/track \\\"messageId\\\":\\\"m-4\\\"\", 99) = 33\n";
    let other = "1 sendto(9<socket:[31]>, \"HTTP/1.1 200 OK\", 15, MSG_NOSIGNAL, NULL, 0) = 15\n";
    let verdict = judged(&[ASKED, WRITTEN, SYNCED, ANSWERED]);
    assert_eq!((verdict.wrong.as_slice(), verdict.failures), ([].as_slice(), 0));
    assert_eq!((verdict.answers, verdict.alone, verdict.calls), (2, 1, 3));
    assert_eq!((verdict.connections.len(), verdict.syncs.len()), (2, 1));
    // A failure after that sync is irrelevant.
    for parts in [[ASKED, WRITTEN, SYNCED, ANSWERED, FAILED], [ASKED, WRITTEN, SYNCED, FAILED, ANSWERED]] {
        let verdict = judged(&parts);
        assert_eq!((verdict.wrong.len(), verdict.failures), (0, 1));
    }
    // A refusal answers its request; the next answer on that connection belongs to another.
    assert_eq!(judged(&[ASKED, FAILED, REFUSED, other]).answers, 0);
    // An answer covers everything read since the last one, and here that was not written.
    assert_eq!(judged(&[ASKED, WRITTEN, SYNCED, ANSWERED, again, other]).wrong.len(), 1);
}

#[test]
fn an_answer_without_a_covering_sync_is_detected() {
    let unfinished = "3 fdatasync(7</s/wal-1.seg> <unfinished ...>\n";
    let resumed = "3 <... fdatasync resumed>) = 0\n";
    let (write, end) = WRITTEN.split_once(") = ").unwrap();
    let writing = format!("{} <unfinished ...>\n", write.replacen('3', "4", 1));
    let wrote = format!("4 <... pwritev resumed>) = {end}");
    let elsewhere = SYNCED.replace("wal-1", "wal-2");
    let short = WRITTEN.replace(") = 12", ") = 8");
    let over = WRITTEN.replace("m-", "n-");
    let cut = WRITTEN.replace("\"m-3\"", "\"m-3\"...");
    // A write and its sync, each split in two halves, in order.
    let halves = [ASKED, &writing, &wrote, unfinished, resumed, ANSWERED];
    assert_eq!(judged(&halves).wrong, Vec::<String>::new());
    for (what, wrong, parts) in [
        ("before any sync", 3, &[ASKED, WRITTEN, ANSWERED, SYNCED][..]),
        ("before the sync's end", 3, &[ASKED, WRITTEN, unfinished, ANSWERED, resumed]),
        ("a sync without an end", 3, &[ASKED, WRITTEN, unfinished, ANSWERED]),
        ("a sync before the write", 3, &[ASKED, SYNCED, WRITTEN, ANSWERED]),
        ("a sync begun before the write's end", 3, &[ASKED, &writing, unfinished, &wrote, resumed, ANSWERED]),
        ("a failed sync", 3, &[ASKED, WRITTEN, FAILED, ANSWERED]),
        ("a failed sync that is retried", 3, &[ASKED, WRITTEN, FAILED, SYNCED, ANSWERED]),
        ("a sync of another file", 3, &[ASKED, WRITTEN, &elsewhere, ANSWERED]),
        ("no write", 3, &[ASKED, SYNCED, ANSWERED]),
        // Eight of twelve bytes: the first call and half of the second.
        ("a short write", 2, &[ASKED, &short, SYNCED, ANSWERED]),
        ("overwritten bytes", 3, &[ASKED, WRITTEN, &over, SYNCED, ANSWERED]),
        ("a write that is shown only in part", 1, &[ASKED, &cut, SYNCED, ANSWERED]),
    ] {
        let verdict = judged(parts);
        assert_eq!(verdict.wrong.len(), wrong, "{what}: {:?}", verdict.wrong);
    }
}
