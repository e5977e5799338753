//! Reads the settings in the environment of a function, except how files are read: where rows go, and what
//! happens at the end of an invocation.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Endpoint;
use crate::config::units::{ByteSize, Period, within};
use crate::import::discovery::inputs::{location_of, s3_url};
use crate::lambda::function::To;
use crate::object::{BucketString, Encryption, KmsContext, KmsKey, S3Location, SseKms};
use crate::sources::SourceId;

/// The default time before its deadline at which an invocation stops.
const STOP_BEFORE: Duration = Duration::from_secs(10);
/// The default number of bytes of calls of one object.
const PART: ByteSize = ByteSize(8 * 1_024 * 1_024);
/// The bounds of the bytes of calls of one object. A step is in memory a few times.
const PARTS: std::ops::RangeInclusive<ByteSize> = ByteSize(64 * 1_024)..=ByteSize(64 * 1_024 * 1_024);
/// The default source of calls that become objects without a collector.
const SOURCE: &str = "csv";

/// The names of the variables, besides the options of `import csv`.
pub const OWN: [&str; 11] = [
    "FOREBAY_COLLECTOR_URL",
    "FOREBAY_CONTINUE",
    "FOREBAY_JOURNAL",
    "FOREBAY_LOG",
    "FOREBAY_ON_MISSING",
    "FOREBAY_OUTPUT",
    "FOREBAY_OUTPUT_PART",
    "FOREBAY_OUTPUT_SSE_KMS_KEY",
    "FOREBAY_STOP_BEFORE",
    "FOREBAY_WRITE_KEY",
    "write_key",
];
/// The settings in the environment.
#[derive(Debug)]
pub struct Settings {
    /// Where rows go.
    pub to: To,
    /// The URL of the folder with the progress, so that a long file is continued: `s3://bucket/prefix/`.
    pub journal: Option<String>,
    /// Whether the function invokes itself if a file is not finished. If not, the invocation or the message
    /// fails, and its sender retries.
    pub invokes_itself: bool,
    /// The time before its deadline at which an invocation stops.
    pub stop_before: Duration,
    /// Whether a missing object is an error.
    pub missing_fails: bool,
}

/// The options of an import that affect where rows go.
#[derive(Clone, Debug, Default)]
pub struct OfImport {
    /// The source of the calls.
    pub source: Option<SourceId>,
    /// Whether only some rows are imported.
    pub has_rows: bool,
}

/// Reads variables, and collects what is wrong with them.
#[derive(Debug)]
pub struct Said<'e> {
    environment: &'e BTreeMap<String, String>,
    /// The problems, each with the name of its variable.
    problems: Vec<String>,
}

impl<'e> Said<'e> {
    /// Reads these variables, with no problem so far.
    pub fn new(environment: &'e BTreeMap<String, String>) -> Self {
        Self { environment, problems: Vec::new() }
    }

    /// The names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &'e String> + use<'e> {
        self.environment.keys()
    }

    /// The value of a variable; an empty value counts as not set.
    pub fn text(&self, name: &str) -> Option<&'e str> {
        self.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Notes why a variable cannot be used.
    pub fn wrong(&mut self, name: &str, why: &str) {
        self.problem(format!("{name}: {why}"));
    }

    /// Notes a problem.
    pub fn problem(&mut self, what: String) {
        self.problems.push(what);
    }

    /// The settings in the variables, and the options of an import, if neither has a problem. `None` of
    /// `options` means that the options have a problem, which is noted already.
    /// Errors: all problems, one after the other.
    pub fn settings<T>(
        mut self,
        options: Option<T>,
        of: impl FnOnce(&T) -> OfImport,
    ) -> Result<(T, Settings), String> {
        let said = &mut self;
        let to = said.to(options.as_ref().map(of).as_ref());
        let journal = said.read("FOREBAY_JOURNAL", place);
        let words = [("retry", false), ("self-invoke", true)];
        let invokes_itself = said.word("FOREBAY_CONTINUE", words).unwrap_or(false);
        if invokes_itself && said.text("FOREBAY_JOURNAL").is_none() {
            said.wrong("FOREBAY_CONTINUE", "self-invoke needs FOREBAY_JOURNAL, which says where to continue");
        }
        let stop_before = said.read("FOREBAY_STOP_BEFORE", stop_before).unwrap_or(STOP_BEFORE);
        let missing_fails =
            said.word("FOREBAY_ON_MISSING", [("fail", true), ("skip", false)]).unwrap_or(true);
        match (options, to) {
            (Some(options), Some(to)) if self.problems.is_empty() => {
                Ok((options, Settings { to, journal, invokes_itself, stop_before, missing_fails }))
            }
            _ => Err(self.problems.join("; ")),
        }
    }

    /// The value of a variable as `read` parses it. `None` if it is not set, or is wrong, which is noted.
    fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        read(self.text(name)?).map_err(|why| self.wrong(name, &why)).ok()
    }

    /// The meaning of a variable that is one of two words.
    fn word<T>(&mut self, name: &str, words: [(&str, T); 2]) -> Option<T> {
        let [(one, _), (other, _)] = &words;
        let expected = format!("expected {one} or {other}");
        self.read(name, |text| {
            words.into_iter().find(|(word, _)| *word == text).map(|(_, meaning)| meaning).ok_or(expected)
        })
    }

    fn to(&mut self, import: Option<&OfImport>) -> Option<To> {
        match (self.text("FOREBAY_COLLECTOR_URL"), self.text("FOREBAY_OUTPUT")) {
            (Some(_), None) => self.collector(import),
            (None, Some(_)) => self.objects(import),
            (Some(_), Some(_)) => {
                self.problem("FOREBAY_COLLECTOR_URL and FOREBAY_OUTPUT: set one of them".to_owned());
                None
            }
            (None, None) => {
                self.problem(
                    "rows have nowhere to go: set FOREBAY_COLLECTOR_URL (with FOREBAY_WRITE_KEY), or \
                     FOREBAY_OUTPUT=s3://bucket/prefix"
                        .to_owned(),
                );
                None
            }
        }
    }

    fn collector(&mut self, import: Option<&OfImport>) -> Option<To> {
        let url = self.read("FOREBAY_COLLECTOR_URL", Endpoint::parse);
        let write_key = self.text("FOREBAY_WRITE_KEY").or_else(|| self.text("write_key"));
        if write_key.is_none() {
            self.wrong("FOREBAY_WRITE_KEY", "not set, and the collector asks for it");
        }
        if import.is_some_and(|import| import.source.is_some()) {
            self.wrong("FOREBAY_CSV_SOURCE", "the collector knows the source by FOREBAY_WRITE_KEY");
        }
        for name in ["FOREBAY_OUTPUT_PART", "FOREBAY_OUTPUT_SSE_KMS_KEY"] {
            if self.text(name).is_some() {
                self.wrong(name, "is for FOREBAY_OUTPUT, which is not set");
            }
        }
        Some(To::Collector { url: url?.as_str().to_owned(), write_key: write_key?.to_owned() })
    }

    fn objects(&mut self, import: Option<&OfImport>) -> Option<To> {
        let bucket = self.read("FOREBAY_OUTPUT", |output| {
            let bucket = output.strip_prefix("s3://").ok_or("expected s3://bucket/prefix")?;
            BucketString::parse(bucket).map_err(|error| error.to_string())
        });
        if import.is_some_and(|import| import.has_rows) {
            self.wrong("FOREBAY_CSV_ROWS", "objects without a collector are made of whole files");
        }
        let kms = self.read("FOREBAY_OUTPUT_SSE_KMS_KEY", KmsKey::parse);
        let encryption = kms.map_or(Encryption::None, |key| {
            Encryption::Kms(SseKms { key, bucket_key: None, context: KmsContext::default() })
        });
        let part = self.read("FOREBAY_OUTPUT_PART", |text| {
            let size: ByteSize = text.parse().map_err(|_| "expected a size such as 8 MiB")?;
            within("a size", size, &PARTS)
        });
        let source =
            import.and_then(|import| import.source.clone()).map_or_else(|| SourceId::new(SOURCE).ok(), Some);
        Some(To::Objects {
            location: S3Location::new(bucket?, encryption),
            source: source?,
            part_bytes: usize::try_from(part.unwrap_or(PART).0).unwrap_or(usize::MAX),
        })
    }
}

/// Checks the URL of a folder.
fn place(text: &str) -> Result<String, String> {
    let (bucket, _) = s3_url(text).ok_or("expected s3://bucket/prefix/")?;
    location_of(bucket).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// Reads milliseconds as a number, or a duration with a unit.
fn stop_before(text: &str) -> Result<Duration, String> {
    if let Ok(millis) = text.parse() {
        return Ok(Duration::from_millis(millis));
    }
    let period: Period = text.parse().map_err(|_| "expected milliseconds, or a duration such as 10 s")?;
    Ok(period.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_deadline_has_a_unit_or_is_in_milliseconds() {
        assert_eq!(stop_before("1500"), Ok(Duration::from_millis(1_500)));
        assert_eq!(stop_before("20 s"), Ok(Duration::from_secs(20)));
        assert!(stop_before("soon").is_err());
    }
}
