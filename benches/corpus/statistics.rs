//! Statistics of calls: lengths, kinds, and compression ratio.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::packed;

/// Captured requests of real SDKs, one per line.
const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/captures");

/// A captured request, as far as needed here.
#[derive(Debug, Deserialize)]
struct Captured {
    body: String,
}

/// A body with the unchanged text of its calls.
#[derive(Debug, Deserialize)]
struct Envelope {
    batch: Vec<Box<RawValue>>,
}

/// The calls of each file of captured requests, with the file's name.
///
/// # Errors
/// If the files cannot be read.
pub(crate) fn captured() -> io::Result<Vec<(String, Vec<String>)>> {
    let mut files: Vec<_> = fs::read_dir(CAPTURES)?.collect::<io::Result<_>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    files
        .iter()
        .map(|file| Ok((file.file_name().to_string_lossy().into_owned(), calls(&file.path())?)))
        .collect()
}

fn calls(file: &Path) -> io::Result<Vec<String>> {
    let mut calls = Vec::new();
    for line in fs::read_to_string(file)?.lines() {
        let Captured { body } = serde_json::from_str(line)?;
        match serde_json::from_str::<Envelope>(&body) {
            Ok(envelope) => calls.extend(envelope.batch.iter().map(|call| call.get().to_owned())),
            // A single call has a type; the rest are requests for settings, and metrics of an SDK.
            Err(_) if serde_json::from_str::<Value>(&body).is_ok_and(|call| call["type"].is_string()) => {
                calls.push(body);
            }
            Err(_) => {}
        }
    }
    Ok(calls)
}

/// Statistics of some calls.
#[derive(Debug)]
pub(crate) struct Statistics {
    lengths: Vec<usize>,
    kinds: BTreeMap<String, usize>,
    context: BTreeMap<String, usize>,
    packed: u64,
}

impl Statistics {
    /// Computed from these calls, each as JSON.
    ///
    /// # Errors
    /// If a call is not JSON, or the program `gzip` is missing.
    pub(crate) fn of(calls: &[String]) -> io::Result<Self> {
        let mut lengths: Vec<usize> = calls.iter().map(String::len).collect();
        lengths.sort_unstable();
        let (mut kinds, mut context) = (BTreeMap::new(), BTreeMap::new());
        let mut lines = tempfile::tempfile()?;
        for call in calls {
            writeln!(lines, "{call}")?;
            let call: Value = serde_json::from_str(call)?;
            *kinds.entry(call["type"].as_str().unwrap_or("none").to_owned()).or_default() += 1;
            for member in call["context"].as_object().into_iter().flat_map(serde_json::Map::keys) {
                *context.entry(member.clone()).or_default() += 1;
            }
        }
        Ok(Self { lengths, kinds, context, packed: packed::gzip_6(lines)? })
    }

    fn length(&self, percent: usize) -> usize {
        let index = (self.lengths.len().saturating_sub(1) * percent).div_ceil(100);
        self.lengths.get(index).copied().unwrap_or(0)
    }

    #[expect(clippy::cast_precision_loss, reason = "shares of some thousand")]
    fn shares(&self, counts: &BTreeMap<String, usize>) -> String {
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let all = self.lengths.len() as f64;
        let share =
            |(name, count): &(&String, &usize)| format!("{name} {:.0} %", **count as f64 * 100.0 / all);
        counts.iter().map(share).collect::<Vec<_>>().join(", ")
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of some thousand calls")]
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, bytes) = (self.lengths.len(), self.lengths.iter().sum::<usize>());
        writeln!(
            f,
            "  {calls} calls of {} to {} bytes: median {}, p99 {}, mean {:.0}",
            self.length(0),
            self.length(100),
            self.length(50),
            self.length(99),
            bytes as f64 / calls as f64,
        )?;
        writeln!(f, "  type: {}", self.shares(&self.kinds))?;
        writeln!(f, "  context: {}", self.shares(&self.context))?;
        writeln!(f, "  gzip -6: {:.2} to 1", (bytes + calls) as f64 / self.packed as f64)
    }
}
