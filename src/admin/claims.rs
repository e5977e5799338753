//! Files of a bucket that belong to other instances, for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;
use crate::words::{about_bytes, counted, first_few, grouped, outside_text, outside_text_within, rfc3339};

/// The most bytes that are shown of a text with what to do.
const TEXT_BYTES_MAX: usize = 4_096;
/// The most instances that are named with the number of their files.
const INSTANCES_MAX: usize = 5;

/// What a pass found of the files that belong to other instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimsStatus {
    /// Objects that belong to other instances.
    pub claimed: u64,
    /// The same by the ids of the instances.
    pub instances: BTreeMap<String, u64>,
    /// Those of them that are not delivered, by instance.
    pub waiting: Vec<WaitingStatus>,
    /// Objects that had begun here, were released, and belong to other instances now.
    pub released: u64,
    /// Objects whose claims cannot be read, or are gone.
    pub unknown: u64,
    /// The first of them, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_first: Option<String>,
    /// Why nothing new begins, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Objects of an instance that are not delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitingStatus {
    /// The id of the instance.
    pub instance: String,
    /// How many objects.
    pub files: u64,
    /// When the first of them was claimed, as the store says (Unix milliseconds).
    pub since_ms: Option<i64>,
    /// The first ones.
    pub first: Vec<String>,
}

/// Claims that were released, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimsReleased {
    /// The import's name.
    pub import: String,
    /// The instance whose claims they were.
    pub instance: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of them.
    pub first: Vec<String>,
}

impl ClaimsStatus {
    /// What to do about files whose claims cannot be used; `None`: there are none.
    pub fn unknown_text(&self) -> Option<String> {
        let first =
            self.unknown_first.as_ref().map_or_else(String::new, |first| format!(", the first {first}"));
        (self.unknown > 0).then(|| {
            format!(
                "the claims of {} in the shared journal are damaged or gone{first}; these files wait, because another \
                 instance may have their rows: put back what was there (an earlier version of the object). If the disk of \
                 that instance is lost, `forebay import release NAME --instance ID` frees those that are gone; delete a damaged one only if no \
                 instance has rows of its file",
                counted(self.unknown, "file", "files")
            )
        })
    }

    /// In a few lines without their beginning.
    pub fn lines(&self, named_max: usize) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if let Some(problem) = &self.problem {
            lines.push(("claims:", outside_text_within(problem, TEXT_BYTES_MAX).to_string()));
        }
        if self.claimed > 0 {
            let files = counted(self.claimed, "object belongs", "objects belong");
            let released = match self.released {
                0 => String::new(),
                some => format!("; {} of them had begun here, and were released", grouped(some)),
            };
            let of = self.instances.iter().map(|(id, files)| format!("{} to {id}", grouped(*files)));
            let of = first_few(of, INSTANCES_MAX);
            let of = if of.is_empty() { of } else { format!(": {}", outside_text(&of)) };
            lines.push(("claimed:", format!("{files} to other instances{of}{released}")));
        }
        for waiting in &self.waiting {
            let since =
                waiting.since_ms.map_or_else(String::new, |at| format!(" since {}", rfc3339(UnixMillis(at))));
            let what = format!(
                "{} for the instance {}{since}",
                counted(waiting.files, "object waits", "objects wait"),
                waiting.instance
            );
            lines.push(("", outside_text(&what).to_string()));
            let first = waiting.first.iter().take(named_max);
            lines.extend(first.map(|name| ("waits:", outside_text(name).to_string())));
        }
        lines.extend(
            self.unknown_text()
                .map(|text| ("unknown:", outside_text_within(&text, TEXT_BYTES_MAX).to_string())),
        );
        lines
    }
}

impl ClaimsReleased {
    /// What was released, and what comes of it.
    pub fn text(&self) -> String {
        let Self { import, instance, dry_run, files, bytes, first } = self;
        let [import, instance] = [import, instance].map(|text| outside_text(text).to_string());
        if *files == 0 {
            return format!("the instance {instance} has no open claim of import {import}\n");
        }
        let named: String = first.iter().map(|name| format!("  {}\n", outside_text(name))).collect();
        let more = files.saturating_sub(first.len() as u64);
        let more = if more == 0 { String::new() } else { format!("  and {} more\n", grouped(more)) };
        let (are, next) = if *dry_run {
            ("would be", format!("To release them: forebay import release {import} --instance {instance}\n"))
        } else {
            (
                if *files == 1 { "is" } else { "are" },
                "The next pass lists all keys, and claims them.\n".to_owned(),
            )
        };
        format!(
            "{} ({}) of the instance {instance} {are} free for any instance\n{named}{more}All of their rows are imported from \
             the first one. Those that the instance had delivered come twice, with equal messageIds: at most all rows of these \
             files; only its lost disk has the number.\n{next}",
            counted(*files, "file", "files"),
            about_bytes(*bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_instances_have_is_shown_with_who_and_since_when() {
        assert!(ClaimsStatus::default().lines(5).is_empty());
        let first = vec!["s3://lake/in/a".to_owned(), "s3://lake/in/b".to_owned()];
        let waiting = WaitingStatus {
            instance: "0123".to_owned(),
            files: 1_200,
            since_ms: Some(1_795_392_000_000),
            first,
        };
        let status = ClaimsStatus {
            claimed: 1_300,
            instances: [("0123".to_owned(), 1_250), ("4567".to_owned(), 50)].into(),
            waiting: vec![waiting],
            released: 2,
            unknown: 1,
            unknown_first: Some("s3://lake/in/c: its checksum does not match".to_owned()),
            problem: Some("403".to_owned()),
        };
        let shown: Vec<String> =
            status.lines(1).into_iter().map(|(name, text)| format!("{name} {text}")).collect();
        assert_eq!(
            &shown[..4],
            [
                "claims: 403",
                "claimed: 1,300 objects belong to other instances: 1,250 to 0123, 50 to 4567; 2 of them had begun here, and were \
                 released",
                " 1,200 objects wait for the instance 0123 since 2026-11-23T00:00:00.000Z",
                "waits: s3://lake/in/a",
            ]
        );
        assert!(
            shown[4].starts_with("unknown: the claims of 1 file in the shared journal are damaged or gone")
        );
    }

    #[test]
    fn a_release_says_what_may_come_twice() {
        let released = ClaimsReleased {
            import: "orders".to_owned(),
            instance: "0123".to_owned(),
            files: 2,
            bytes: 5,
            first: vec!["s3://lake/a".to_owned()],
            ..ClaimsReleased::default()
        };
        let text = released.text();
        for part in
            ["2 files (5 B", "are free", "  s3://lake/a\n  and 1 more\n", "equal messageIds", "next pass"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let dry = ClaimsReleased { dry_run: true, ..released }.text();
        assert!(dry.contains("would be free") && dry.contains("release orders --instance 0123"), "{dry}");
        assert!(ClaimsReleased::default().text().contains("has no open claim"));
    }
}
