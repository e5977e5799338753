//! A log over Kafka in words. Pure.

use super::kafka_status::{
    ElsewhereStatus, KafkaCacheStatus, KafkaStatus, PartitionStatus, PinStatus, SendingStatus,
};
use super::status_words::{Labelled, percent_words};
use crate::words::table::table;
use crate::words::{
    about_bytes, about_seconds, counted, first_few, grouped, if_any, outside_text, outside_text_within,
    seconds_since,
};

/// The most partitions and sources that a line names.
const NAMED_MAX: usize = 20;
/// The longest sentence that is shown, in bytes.
const TEXT_BYTES_MAX: usize = 2_048;
/// After how many seconds an owner that says nothing is missed: it speaks every ten.
const SILENT_AFTER_SECONDS: u64 = 120;
/// The columns with numbers in the table of partitions.
const NUMBERS: [usize; 3] = [0, 3, 6];

/// The table of partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionTable {
    /// The names of the columns.
    pub names: String,
    /// The row of each partition, and what is wrong with it: beginnings of lines and their texts.
    pub rows: Vec<(String, Vec<Labelled>)>,
    /// Partitions that are left out.
    pub more: usize,
}

impl KafkaStatus {
    /// Whether the process takes calls, and owns no partitions.
    pub fn is_collector(&self) -> bool {
        self.role == "collector"
    }

    /// Whether the process owns partitions, and takes no calls.
    pub fn is_writer(&self) -> bool {
        self.role == "writer"
    }

    /// What the process is, and its log: `writer lake, log 00ff`.
    pub fn process_words(&self, node: &str) -> String {
        let role = match self.role.as_str() {
            role @ ("collector" | "writer") => role,
            _ => "node",
        };
        let id = self
            .log_id
            .as_deref()
            .map_or_else(|| "not known yet".to_owned(), |id| outside_text(id).to_string());
        format!("{role} {}, log {id}", outside_text(node))
    }

    /// The log, what is sent to it, and what its partitions have in common.
    pub fn lines(&self, now_ms: i64) -> Vec<Labelled> {
        let mut lines = vec![("log", self.log_words())];
        lines.extend(self.sending.iter().flat_map(SendingStatus::lines));
        let unheard = self.heard_ms.map(|heard| seconds_since(now_ms, heard));
        lines.extend(unheard.filter(|unheard| *unheard >= SILENT_AFTER_SECONDS).map(|unheard| {
            let text = format!("not heard of for {}: the group does not answer", about_seconds(unheard));
            ("owners", text)
        }));
        if self.is_collector() {
            return lines;
        }
        lines.push(("lag", self.lag_words()));
        lines.extend(self.cache.iter().map(|cache| ("cache", cache.words())));
        let sum = |of: fn(&PartitionStatus) -> u64| self.owned.iter().map(of).fold(0, u64::saturating_add);
        let cut_early = if_any(sum(|one| one.cut_early), |batches| {
            let batches = counted(batches, "batch was", "batches were");
            format!(
                "{batches} cut because the cache was full to 70 %; for fewer and larger objects, raise kafka.cache_bytes"
            )
        });
        let left = if_any(sum(|one| one.left_objects), |objects| {
            let objects = counted(objects, "object waits", "objects wait");
            format!(
                "{objects} in the log for buckets that refuse them; they are built and put once the buckets take them"
            )
        });
        let late = if_any(sum(|one| one.late), |calls| {
            let one = "call came after the end of its day, and counts for the next one";
            counted(calls, one, "calls came after the ends of their days, and count for the next ones")
        });
        let twice = if_any(sum(|one| one.second_copies), |blocks| {
            let blocks = counted(blocks, "block stands", "blocks stand");
            format!("{blocks} in the log twice; each counts once")
        });
        let by = |of: fn(&PartitionStatus) -> Option<u64>| {
            let known = self.owned.iter().filter_map(|one| of(one).map(|seconds| (seconds, one.partition)));
            known.min().map(|(seconds, partition)| (about_seconds(seconds), partition))
        };
        let window = by(|one| one.window_seconds).map_or_else(String::new, |(time, partition)| {
            format!("found if they come within {time}, the shortest time (partition {partition})")
        });
        let kept = by(|one| one.time_left_seconds).map_or_else(String::new, |(time, partition)| {
            format!(
                "everything that is needed for {time} more (partition {partition} is the first to lose calls)"
            )
        });
        let more = [
            ("early", cut_early),
            ("left", left),
            ("kept", kept),
            ("repeats", window),
            ("late", late),
            ("twice", twice),
        ];
        lines.extend(more.into_iter().filter(|(_, text)| !text.is_empty()));
        lines
    }

    fn log_words(&self) -> String {
        let partitions = match self.partitions {
            Some(all) => format!(", {}", counted(u64::from(all), "partition", "partitions")),
            None => "; no broker has said yet how many partitions it has".to_owned(),
        };
        let topic = outside_text(&self.topic);
        let kept = self
            .retention_seconds
            .map_or_else(String::new, |all| format!(", kept for {}", about_seconds(all)));
        if self.is_collector() {
            return format!("topic {topic}{partitions}{kept}");
        }
        let here = counted(self.owned.len() as u64, "is here", "are here");
        let standing = |which: &str| self.owned.iter().filter(|one| one.standing == which).count() as u64;
        let standings =
            [("begins", "begin"), ("waits", "wait"), ("stopped", "are stopped")].map(|(name, many)| {
                let one = if name == "stopped" { "is stopped" } else { name };
                if_any(standing(name), |count| format!(", {}", counted(count, one, many)))
            });
        format!(
            "topic {topic}, group {}{partitions}, of which {here}{}{kept}",
            outside_text(&self.group),
            standings.concat()
        )
    }

    fn lag_words(&self) -> String {
        let records = self.owned.iter().filter_map(PartitionStatus::lag_records).fold(0, u64::saturating_add);
        let seconds = self.owned.iter().map(|one| one.lag_seconds).max().unwrap_or(0);
        if records == 0 && seconds == 0 {
            let is_read = |one: &PartitionStatus| one.standing == "delivers" && one.end_offset.is_some();
            let all = self.owned.iter().all(is_read);
            let words = if all {
                "none: these partitions are read to their ends"
            } else {
                "not known for all of these partitions"
            };
            return words.to_owned();
        }
        format!(
            "{} to be read, the oldest for {}",
            counted(records, "record", "records"),
            about_seconds(seconds)
        )
    }

    /// Whether something is known of any partition.
    pub fn has_table(&self) -> bool {
        !(self.owned.is_empty() && self.elsewhere.is_empty())
    }

    /// A row for each partition that is here, then for the others. With more than `max`, those with problems come
    /// first, then those that are here, the farthest behind before others.
    pub fn partition_table(&self, now_ms: i64, max: usize) -> PartitionTable {
        let here = self.owned.iter().map(|one| Row {
            partition: one.partition,
            is_elsewhere: false,
            behind: (one.lag_seconds, one.left_objects),
            cells: one.row(now_ms),
            troubles: self.troubles(one),
        });
        let elsewhere = self.elsewhere.iter().map(|one| Row {
            partition: one.partition,
            is_elsewhere: true,
            behind: (one.lag_seconds.unwrap_or(0), 0),
            cells: one.row(now_ms, self.heard_ms),
            troubles: one.troubles(self.heard_ms),
        });
        let mut shown: Vec<Row> = here.chain(elsewhere).collect();
        let more = shown.len().saturating_sub(max);
        if more > 0 {
            shown.sort_by_key(|row| {
                (row.troubles.is_empty(), row.is_elsewhere, std::cmp::Reverse(row.behind), row.partition)
            });
            shown.truncate(max);
        }
        let names = ["partition", "state", "terms", "lag", "time left", "cache", "left", "pinned by"];
        let names = names.map(str::to_owned).to_vec();
        let (cells, troubles): (Vec<_>, Vec<_>) =
            shown.into_iter().map(|row| (row.cells, row.troubles)).unzip();
        let rows: Vec<Vec<String>> = std::iter::once(names).chain(cells).collect();
        let mut rows = table(&rows, &NUMBERS).into_iter();
        PartitionTable { names: rows.next().unwrap_or_default(), rows: rows.zip(troubles).collect(), more }
    }

    /// What is wrong with a partition, and what to do.
    fn troubles(&self, partition: &PartitionStatus) -> Vec<Labelled> {
        let why = |no_reason: &str| {
            let why = partition.why.as_deref().unwrap_or(no_reason);
            outside_text_within(why, TEXT_BYTES_MAX).to_string()
        };
        let mut lines = Vec::new();
        match partition.standing.as_str() {
            "stopped" => lines.push(("  STOPPED: ", why("this process does not say why"))),
            "waits" => lines.push(("  WAITS: ", why("its notes cannot be read yet"))),
            _ => {}
        }
        if let Some(left) = partition.time_left_seconds.filter(|_| partition.time_is_short) {
            let text = format!(
                "in {} Kafka deletes calls that are not delivered yet: fix what pins the partition, or raise retention.ms of {}",
                about_seconds(left),
                outside_text(&self.topic)
            );
            lines.push(("  TIME SHORT: ", text));
        }
        if !partition.without_bucket.is_empty() {
            let sources = first_few(partition.without_bucket.iter().map(|id| outside_text(id)), NAMED_MAX);
            let text =
                format!("a configuration of {sources}: add each to all writers, or its calls fill the cache");
            lines.push(("  waits for: ", text));
        }
        lines
    }
}

/// A row of the table, before it is laid out.
struct Row {
    partition: u32,
    is_elsewhere: bool,
    /// Seconds, and objects.
    behind: (u64, u64),
    cells: Vec<String>,
    troubles: Vec<Labelled>,
}

impl SendingStatus {
    fn lines(&self) -> Vec<Labelled> {
        let waiting = match self.waiting_bytes {
            0 => "nothing waits for the brokers".to_owned(),
            bytes => format!("{} wait for the brokers", about_bytes(bytes)),
        };
        let blocks = counted(self.blocks, "block", "blocks");
        let mut lines = vec![("sending", format!("{waiting}; {blocks} acknowledged since this start"))];
        if !self.silent.is_empty() {
            let noun = if self.silent.len() == 1 { "partition" } else { "partitions" };
            let named = first_few(self.silent.iter(), NAMED_MAX);
            let text = format!(
                "no broker acknowledges blocks of {noun} {named}, so their calls are answered 503: check that brokers run, \
                 and that min.insync.replicas of them have each partition"
            );
            lines.push(("  SILENT: ", text));
        }
        if self.unknown > 0 || self.refused > 0 {
            let unknown = if_any(self.unknown, |requests| {
                format!(
                    "{} without an answer of the brokers, which may be stored",
                    counted(requests, "request", "requests")
                )
            });
            let refused = if_any(self.refused, |requests| {
                format!("{} of which nothing was sent", counted(requests, "request", "requests"))
            });
            let parts: Vec<String> = [unknown, refused].into_iter().filter(|part| !part.is_empty()).collect();
            lines.push((
                "503",
                format!("{}, since this start; clients send them again", parts.join(", and ")),
            ));
        }
        if self.producers_failed > 0 {
            let times = counted(self.producers_failed, "time", "times");
            lines.push(("client", format!("replaced {times} since this start, after errors of the brokers")));
        }
        lines
    }
}

impl KafkaCacheStatus {
    fn words(&self) -> String {
        let (used, max) = (about_bytes(self.used_bytes), about_bytes(self.max_bytes));
        let percent = percent_words(self.used_bytes, self.max_bytes);
        let small = match self.objects_an_hour {
            None => String::new(),
            Some(0) => "; small sources get less than an object an hour".to_owned(),
            Some(objects) => format!("; small sources get {} an hour", counted(objects, "object", "objects")),
        };
        format!("{used} of {max} ({percent} %){small}")
    }
}

impl PartitionStatus {
    /// Records that are not read. `None` if the log's end is not known.
    pub fn lag_records(&self) -> Option<u64> {
        Some(self.end_offset?.saturating_sub(self.read_offset))
    }

    fn row(&self, now_ms: i64) -> Vec<String> {
        let lag = match (self.lag_records(), self.lag_seconds) {
            (Some(0) | None, 0) => none(),
            (None, seconds) => about_seconds(seconds),
            (Some(records), seconds) => format!("{}, {}", grouped(records), about_seconds(seconds)),
        };
        vec![
            self.partition.to_string(),
            outside_text(&self.standing).to_string(),
            format!(
                "{}{}",
                grouped(self.terms),
                if_any(self.ended, |ended| format!(" ({} ended)", grouped(ended)))
            ),
            lag,
            self.time_left_seconds.map_or_else(none, about_seconds),
            format!("{} of {}", about_bytes(self.cache_used_bytes), about_bytes(self.cache_max_bytes)),
            grouped(self.left_objects),
            self.pinned_by.as_ref().map_or_else(none, |pin| pin.words(now_ms)),
        ]
    }
}

impl ElsewhereStatus {
    /// For how many seconds its owner had said nothing when it was last heard of, if that is long.
    fn silent_for(&self, heard_ms: Option<i64>) -> Option<u64> {
        let silent = self.told_ms.zip(heard_ms).map(|(told, heard)| seconds_since(heard, told));
        silent.filter(|silent| *silent >= SILENT_AFTER_SECONDS)
    }

    fn row(&self, now_ms: i64, heard_ms: Option<i64>) -> Vec<String> {
        let state = match &self.owner {
            None => "no owner".to_owned(),
            Some(_) if self.silent_for(heard_ms).is_some() => "silent".to_owned(),
            Some(owner) => format!("on {}", outside_text(owner)),
        };
        let lag = self.lag_seconds.filter(|seconds| *seconds > 0);
        vec![
            self.partition.to_string(),
            state,
            none(),
            lag.map_or_else(none, about_seconds),
            self.time_left_seconds.map_or_else(none, about_seconds),
            none(),
            none(),
            self.pinned_by.as_ref().map_or_else(none, |pin| pin.words(now_ms)),
        ]
    }

    fn troubles(&self, heard_ms: Option<i64>) -> Vec<Labelled> {
        let said = self.owner.as_ref().zip(self.silent_for(heard_ms)).map(|(owner, silent)| {
            let text = format!(
                "{} had it, and has said nothing of it for {}: look at the status of all writers, for one may have stopped \
                 it; if none has it, start one",
                outside_text(owner),
                about_seconds(silent)
            );
            ("  SILENT: ", text)
        });
        said.into_iter().collect()
    }
}

impl PinStatus {
    fn words(&self, now_ms: i64) -> String {
        let (source, waits) =
            (outside_text(&self.source), outside_text_within(&self.waits_for, TEXT_BYTES_MAX).to_string());
        let waits = if waits.is_empty() { waits } else { format!(": {waits}") };
        format!("{source} for {}{waits}", about_seconds(seconds_since(now_ms, self.since_ms)))
    }
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    fn partition(partition: u32) -> PartitionStatus {
        PartitionStatus {
            partition,
            standing: "delivers".to_owned(),
            terms: 1,
            end_offset: Some(0),
            ..PartitionStatus::default()
        }
    }

    #[test]
    fn partitions_with_problems_stay_in_a_short_table() {
        let mut owned: Vec<PartitionStatus> = (0..30).map(partition).collect();
        owned[20].standing = "stopped".to_owned();
        owned[20].why = Some("the log was cut\u{1b}".to_owned());
        owned[7].lag_seconds = 9;
        owned[29].without_bucket = vec!["web".to_owned()];
        let kafka = KafkaStatus { owned, ..KafkaStatus::default() };
        let table = kafka.partition_table(0, 4);
        let firsts: Vec<&str> =
            table.rows.iter().map(|(row, _)| row.split_whitespace().next().unwrap()).collect();
        assert_eq!((firsts.as_slice(), table.more), (&["20", "29", "7", "0"][..], 26), "{table:#?}");
        assert_eq!(table.rows[0].1, [("  STOPPED: ", "the log was cut\\u{1b}".to_owned())]);
        assert!(table.rows[1].1[0].1.starts_with("a configuration of web: add each"), "{table:#?}");
        let all = kafka.partition_table(0, usize::MAX);
        assert!(all.more == 0 && all.rows[7].0.trim_start().starts_with('7'), "in their order: {all:#?}");
    }

    #[test]
    fn a_row_says_what_is_not_known() {
        let now_ms = 1_000_000;
        let row = |one: &PartitionStatus| one.row(now_ms).join(" | ");
        assert_eq!(row(&partition(3)), "3 | delivers | 1 | - | - | 0 B of 0 B | 0 | -");
        let pin = PinStatus {
            source: "web".to_owned(),
            since_ms: now_ms - 65_000,
            waits_for: "age or size".to_owned(),
        };
        let one = PartitionStatus {
            terms: 3,
            ended: 2,
            end_offset: None,
            lag_seconds: 61,
            time_left_seconds: Some(90_000),
            pinned_by: Some(pin),
            ..partition(3)
        };
        let expected = "3 | delivers | 3 (2 ended) | 1 min 1 s | 1 d 1 h | 0 B of 0 B | 0 | web for 1 min 5 s: age or size";
        assert_eq!(row(&one), expected);
        let one =
            PartitionStatus { end_offset: Some(1_500), read_offset: 300, lag_seconds: 2, ..partition(3) };
        assert!(row(&one).contains(" | 1,200, 2 s | "));
    }

    #[test]
    fn an_owner_elsewhere_is_named_until_it_is_silent() {
        let now_ms = 1_000_000;
        let told = |ago: i64| ElsewhereStatus {
            partition: 3,
            owner: Some("writer-2".to_owned()),
            told_ms: Some(now_ms - ago),
            lag_seconds: Some(61),
            time_left_seconds: Some(90_000),
            pinned_by: Some(PinStatus {
                source: "web".to_owned(),
                since_ms: now_ms - 65_000,
                waits_for: String::new(),
            }),
        };
        let row = |one: &ElsewhereStatus| one.row(now_ms, Some(now_ms)).join(" | ");
        let words = "- | 1 min 1 s | 1 d 1 h | - | - | web for 1 min 5 s";
        // A clock that is ahead is no silence.
        for ago in [-50_000, 0, 119_999] {
            assert_eq!(row(&told(ago)), format!("3 | on writer-2 | {words}"), "{ago}");
            assert_eq!(told(ago).troubles(Some(now_ms)), []);
        }
        assert_eq!(row(&told(120_000)), format!("3 | silent | {words}"));
        let troubles = told(120_000).troubles(Some(now_ms));
        assert!(
            troubles[0].1.starts_with("writer-2 had it, and has said nothing of it for 2 min: "),
            "{troubles:?}"
        );
        // Whoever does not hear cannot know who is silent.
        assert_eq!(told(120_000).troubles(Some(now_ms - 1)), []);
        let nobody = ElsewhereStatus { partition: 3, ..ElsewhereStatus::default() };
        assert_eq!(row(&nobody), "3 | no owner | - | - | - | - | - | -");
        let elsewhere = vec![nobody, ElsewhereStatus { partition: 7, ..told(120_000) }];
        let kafka = KafkaStatus {
            owned: vec![partition(8)],
            elsewhere,
            heard_ms: Some(now_ms),
            ..KafkaStatus::default()
        };
        let (all, short) = (kafka.partition_table(now_ms, 9), kafka.partition_table(now_ms, 2));
        assert_eq!((all.rows.len(), all.more, short.more), (3, 0, 1));
        let firsts: Vec<_> =
            short.rows.iter().map(|(row, _)| row.split_whitespace().next().unwrap()).collect();
        assert_eq!(firsts, ["7", "8"], "what is here comes before what is well elsewhere");
        let owners = |now_ms| kafka.lines(now_ms).into_iter().find(|(label, _)| *label == "owners");
        assert_eq!(owners(now_ms + 119_999), None);
        let text = "not heard of for 2 min: the group does not answer".to_owned();
        assert_eq!(owners(now_ms + 120_000), Some(("owners", text)));
    }
}
