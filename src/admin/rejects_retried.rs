//! What became of rejected rows that were read again, for people.

use std::collections::BTreeMap;

use super::bucket_imports::RejectsRetried;
use crate::words::{counted, grouped, if_any, outside_message, outside_text};

/// Files that are named.
const NAMED_MAX: usize = 20;

impl RejectsRetried {
    /// For people. `all`: the rows that are meant.
    pub fn text(&self, all: &str) -> String {
        let of = self;
        if of.files == 0 && of.left_count == 0 {
            return format!("no row of {} is rejected\n", outside_text(all));
        }
        let by_code = |codes: &BTreeMap<String, u64>| {
            let codes =
                codes.iter().map(|(code, count)| format!("{} {}", grouped(*count), outside_text(code)));
            let codes = codes.collect::<Vec<_>>().join(", ");
            if codes.is_empty() { codes } else { format!(" ({codes})") }
        };
        let rows = counted(of.settled + of.rejected, "rejected row", "rejected rows");
        let (would, passed) = if of.dry_run { ("would be ", "would pass") } else { ("", "passed") };
        let mut text = format!(
            "{rows} of {}: {} {passed}{}, {} {would}rejected again{}{}\n",
            counted(of.files, "file", "files"),
            grouped(of.settled),
            by_code(&of.settled_by_code),
            grouped(of.rejected),
            by_code(&of.rejected_by_code),
            if_any(of.stored, |calls| format!("; {} stored", counted(calls, "call", "calls"))),
        );
        for file in of.left.iter().take(NAMED_MAX) {
            let error = file.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            let line = format!("  {} {}{error}", file.name, file.became.replace('_', " "));
            text += &format!("{}\n", outside_message(&line));
        }
        let more = of.left_count.saturating_sub(of.left.len().min(NAMED_MAX) as u64);
        text += &if_any(more, |more| format!("  and {}\n", counted(more, "more file", "more files")));
        if let Some(remedy) = &of.remedy {
            text += &format!("  to do: {}\n", outside_message(remedy));
        }
        text
    }
}
