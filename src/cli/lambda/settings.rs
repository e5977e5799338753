//! What the environment of a function says: where rows go, and each option of `forebay import csv`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{ArgAction, CommandFactory, Parser};

use crate::cli::failure::Failure;
use crate::cli::import::args::ImportCsvArgs;
use crate::config::Endpoint;
use crate::config::units::{ByteSize, Period};
use crate::import::csv::IdFrom;
use crate::import::discovery::inputs::{place, s3_url};
use crate::lambda::function::To;
use crate::object::{BucketString, KmsContext, KmsKey, SseKms};
use crate::object::{Destination, Encryption};
use crate::sources::SourceId;

/// How long before its deadline an invocation stops, unless it is set.
const STOP_BEFORE: Duration = Duration::from_secs(10);
/// Bytes of calls of one object, unless they are set.
const PART: ByteSize = ByteSize(8 * 1_024 * 1_024);
/// The bounds of the same. A step is kept in memory a few times.
const PARTS: std::ops::RangeInclusive<ByteSize> = ByteSize(64 * 1_024)..=ByteSize(64 * 1_024 * 1_024);
/// The source of calls that become objects without a collector, unless it is set.
const SOURCE: &str = "csv";

const CSV: &str = "FOREBAY_CSV_";
/// The variables besides the options of `import csv`.
pub(super) const OWN: [&str; 11] = [
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
/// The options of `import csv` that a function cannot have, and why.
pub(super) const REFUSED: [(&str, &str); 13] = [
    ("admin", "a function reaches no node"),
    ("collector", "use FOREBAY_COLLECTOR_URL"),
    ("config", "a function opens no spool"),
    ("dry-run", "a function imports"),
    ("force", "each invocation would begin its files at their first row"),
    ("journal", "use FOREBAY_JOURNAL"),
    ("json", "a function has no output, only a log"),
    ("preview", "a function imports"),
    ("progress", "a function has no output, only a log"),
    ("samples", "a function imports"),
    ("state", "a function keeps nothing on its disk"),
    ("token-file", "a function reaches no node"),
    ("write-key", "use FOREBAY_WRITE_KEY"),
];

/// What the environment says.
#[derive(Debug)]
pub(super) struct Settings {
    /// The options of `import csv`, as that command parses them.
    pub(super) csv: ImportCsvArgs,
    /// Where rows go.
    pub(super) to: To,
    /// Where the progress stands, so that a long file is continued: `s3://bucket/prefix/`.
    pub(super) journal: Option<String>,
    /// What happens to files that are not finished.
    pub(super) unfinished: Unfinished,
    /// How long before its deadline an invocation stops.
    pub(super) stop_before: Duration,
    /// Whether an object that is not there is an error.
    pub(super) missing_fails: bool,
    /// Variables that begin like Forebay's and mean nothing to a function.
    pub(super) ignored: Vec<String>,
}

/// What happens to files that are not finished when an invocation stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// The invocation, or the message, fails, and whoever sent it tries again.
    Retry,
    /// The function invokes itself.
    SelfInvoke,
}

/// The options of `import csv`, without its name.
#[derive(Parser)]
#[command(name = "forebay lambda", disable_help_flag = true, disable_version_flag = true)]
struct Csv {
    #[command(flatten)]
    args: ImportCsvArgs,
}

/// An option of `import csv`: its variable, its flag, and whether it is a switch.
struct CsvOption {
    variable: String,
    long: String,
    is_switch: bool,
}

fn csv_options() -> Vec<CsvOption> {
    let command = Csv::command();
    let options = command.get_arguments().filter_map(|arg| {
        let long = arg.get_long()?.to_owned();
        let variable = format!("{CSV}{}", long.to_ascii_uppercase().replace('-', "_"));
        Some(CsvOption { variable, long, is_switch: matches!(arg.get_action(), ArgAction::SetTrue) })
    });
    options.collect()
}

/// The variables that stand for options of `import csv`.
pub(super) fn csv_variables() -> Vec<String> {
    let refused = |option: &CsvOption| REFUSED.iter().any(|(long, _)| *long == option.long);
    csv_options().into_iter().filter(|option| !refused(option)).map(|option| option.variable).collect()
}

impl Settings {
    /// What these variables say.
    ///
    /// # Errors
    /// [`Failure`] with all problems, each with the name of its variable.
    pub(super) fn of(environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let mut said = Said { environment, problems: Vec::new(), ignored: Vec::new() };
        said.refuse_unknown();
        let csv = said.csv();
        let to = said.to(csv.as_ref());
        let journal = said.text("FOREBAY_JOURNAL").map(str::to_owned);
        if let Some(journal) = &journal {
            said.check_place("FOREBAY_JOURNAL", journal);
        }
        let unfinished = match said.text("FOREBAY_CONTINUE") {
            None | Some("retry") => Unfinished::Retry,
            Some("self-invoke") => Unfinished::SelfInvoke,
            Some(_) => {
                said.wrong("FOREBAY_CONTINUE", "expected retry or self-invoke");
                Unfinished::Retry
            }
        };
        if unfinished == Unfinished::SelfInvoke && journal.is_none() {
            said.wrong("FOREBAY_CONTINUE", "self-invoke needs FOREBAY_JOURNAL, which says where to continue");
        }
        let stop_before = said.text("FOREBAY_STOP_BEFORE").map(stop_before).transpose();
        let stop_before = stop_before.unwrap_or_else(|error| {
            said.wrong("FOREBAY_STOP_BEFORE", &error);
            None
        });
        let missing_fails = match said.text("FOREBAY_ON_MISSING") {
            None | Some("fail") => true,
            Some("skip") => false,
            Some(_) => {
                said.wrong("FOREBAY_ON_MISSING", "expected fail or skip");
                true
            }
        };
        match (csv, to, said.problems) {
            (Some(csv), Some(to), problems) if problems.is_empty() => Ok(Self {
                csv,
                to,
                journal,
                unfinished,
                stop_before: stop_before.unwrap_or(STOP_BEFORE),
                missing_fails,
                ignored: said.ignored,
            }),
            (_, _, problems) => Err(Failure::usage(problems.join("; "))),
        }
    }
}

/// The variables, and what is wrong with them.
struct Said<'e> {
    environment: &'e BTreeMap<String, String>,
    problems: Vec<String>,
    /// Variables that mean nothing here.
    ignored: Vec<String>,
}

impl<'e> Said<'e> {
    /// The value of a variable; an empty one is not set.
    fn text(&self, name: &str) -> Option<&'e str> {
        self.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn wrong(&mut self, name: &str, why: &str) {
        self.problems.push(format!("{name}: {why}"));
    }

    fn refuse_unknown(&mut self) {
        let options = csv_options();
        let names: Vec<&String> =
            self.environment.keys().filter(|name| name.starts_with("FOREBAY_")).collect();
        for name in names {
            if OWN.contains(&name.as_str()) {
                continue;
            }
            let option = options.iter().find(|option| option.variable == *name);
            let refused = option.and_then(|option| REFUSED.iter().find(|(long, _)| *long == option.long));
            match (option, refused) {
                (_, Some((long, why))) => {
                    self.problems.push(format!("{name}: a function has no --{long}: {why}"));
                }
                (Some(_), None) => {}
                (None, None) if name.starts_with(CSV) => {
                    let known = csv_variables();
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    self.problems.push(format!("{name}: no such option; there are {}", known.join(", ")));
                }
                (None, None) => self.ignored.push(name.clone()),
            }
        }
    }

    /// The options of `import csv`, parsed by its own parser, first each alone, so that the wrong ones are named.
    fn csv(&mut self) -> Option<ImportCsvArgs> {
        // The parser wants a file.
        let mut all = vec!["forebay".to_owned(), "s3://bucket/key".to_owned()];
        let first = all.clone();
        let mut is_whole = true;
        for CsvOption { variable, long, is_switch } in csv_options() {
            let Some(value) = self.text(&variable) else { continue };
            if REFUSED.iter().any(|(refused, _)| *refused == long) {
                continue;
            }
            let arg = match (is_switch, value.to_ascii_lowercase().as_str()) {
                (false, _) => format!("--{long}={value}"),
                (true, "true" | "1" | "yes" | "on") => format!("--{long}"),
                (true, "false" | "0" | "no" | "off") => continue,
                (true, _) => {
                    self.wrong(&variable, "expected true or false");
                    is_whole = false;
                    continue;
                }
            };
            if let Err(error) = Csv::try_parse_from(first.iter().chain([&arg])) {
                let text = error.render().to_string();
                let text = text.lines().next().unwrap_or_default();
                self.wrong(&variable, text.trim_start_matches("error: "));
                is_whole = false;
                continue;
            }
            all.push(arg);
        }
        if !is_whole {
            return None;
        }
        match Csv::try_parse_from(&all) {
            Ok(Csv { args }) => {
                if matches!(args.format.id_from, IdFrom::RowHash { .. }) {
                    let why =
                        "a function has no disk that keeps the hashes of rows: use position or column:NAME";
                    self.wrong("FOREBAY_CSV_ID_FROM", why);
                }
                Some(args)
            }
            Err(error) => {
                self.problems.push(error.render().to_string().lines().next().unwrap_or_default().to_owned());
                None
            }
        }
    }

    fn to(&mut self, csv: Option<&ImportCsvArgs>) -> Option<To> {
        match (self.text("FOREBAY_COLLECTOR_URL"), self.text("FOREBAY_OUTPUT")) {
            (Some(url), None) => self.collector(url, csv),
            (None, Some(output)) => self.objects(output, csv),
            (Some(_), Some(_)) => {
                self.problems.push("FOREBAY_COLLECTOR_URL and FOREBAY_OUTPUT: set one of them".to_owned());
                None
            }
            (None, None) => {
                self.problems.push(
                    "rows have nowhere to go: set FOREBAY_COLLECTOR_URL (with FOREBAY_WRITE_KEY), or \
                     FOREBAY_OUTPUT=s3://bucket/prefix"
                        .to_owned(),
                );
                None
            }
        }
    }

    fn collector(&mut self, url: &str, csv: Option<&ImportCsvArgs>) -> Option<To> {
        let url = Endpoint::parse(url).map_err(|error| self.wrong("FOREBAY_COLLECTOR_URL", &error)).ok();
        let write_key = self.text("FOREBAY_WRITE_KEY").or_else(|| self.text("write_key"));
        if write_key.is_none() {
            self.wrong("FOREBAY_WRITE_KEY", "not set, and the collector asks for it");
        }
        if csv.is_some_and(|csv| csv.to.source.is_some()) {
            self.wrong("FOREBAY_CSV_SOURCE", "the collector knows the source by FOREBAY_WRITE_KEY");
        }
        for name in ["FOREBAY_OUTPUT_PART", "FOREBAY_OUTPUT_SSE_KMS_KEY"] {
            if self.text(name).is_some() {
                self.wrong(name, "is for FOREBAY_OUTPUT, which is not set");
            }
        }
        Some(To::Collector { url: url?.as_str().to_owned(), write_key: write_key?.to_owned() })
    }

    fn objects(&mut self, output: &str, csv: Option<&ImportCsvArgs>) -> Option<To> {
        let bucket = output.strip_prefix("s3://").ok_or_else(|| "expected s3://bucket/prefix".to_owned());
        let bucket = bucket.and_then(|bucket| BucketString::parse(bucket).map_err(|error| error.to_string()));
        let bucket = bucket.map_err(|error| self.wrong("FOREBAY_OUTPUT", &error)).ok();
        if csv.is_some_and(|csv| csv.rows.is_some()) {
            self.wrong("FOREBAY_CSV_ROWS", "objects without a collector are made of whole files");
        }
        let kms = self.text("FOREBAY_OUTPUT_SSE_KMS_KEY").map(KmsKey::parse).transpose();
        let kms = kms.unwrap_or_else(|error| {
            self.wrong("FOREBAY_OUTPUT_SSE_KMS_KEY", &error);
            None
        });
        let encryption = kms.map_or(Encryption::None, |key| {
            Encryption::Kms(SseKms { key, bucket_key: None, context: KmsContext::default() })
        });
        let part = self.text("FOREBAY_OUTPUT_PART").map_or(Ok(PART), |text| {
            let size: ByteSize = text.parse().map_err(|_| "expected a size such as 8 MiB".to_owned())?;
            let bounds = || format!("expected a size from {} to {}", PARTS.start(), PARTS.end());
            PARTS.contains(&size).then_some(size).ok_or_else(bounds)
        });
        let part = part.map_err(|error| self.wrong("FOREBAY_OUTPUT_PART", &error)).ok();
        let source =
            csv.and_then(|csv| csv.to.source.clone()).map_or_else(|| SourceId::new(SOURCE).ok(), Some);
        Some(To::Objects {
            destination: Destination::new(bucket?, encryption),
            source: source?,
            part_bytes: usize::try_from(part?.0).unwrap_or(usize::MAX),
        })
    }

    fn check_place(&mut self, name: &str, text: &str) {
        let wrong = match s3_url(text) {
            Some((bucket, _)) => place(bucket).err().map(|error| error.to_string()),
            None => Some("expected s3://bucket/prefix/".to_owned()),
        };
        if let Some(why) = wrong {
            self.wrong(name, &why);
        }
    }
}

/// Milliseconds as a number, or a duration with a unit.
fn stop_before(text: &str) -> Result<Duration, String> {
    if let Ok(millis) = text.parse() {
        return Ok(Duration::from_millis(millis));
    }
    let period: Period =
        text.parse().map_err(|_| "expected milliseconds, or a duration such as 10 s".to_owned())?;
    Ok(period.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::of(&pairs.collect()).map_err(|failure| failure.to_string())
    }

    const COLLECTOR: [(&str, &str); 2] =
        [("FOREBAY_COLLECTOR_URL", "http://127.0.0.1:1"), ("write_key", "k")];

    fn with(more: &[(&str, &str)]) -> Result<Settings, String> {
        of(&[&COLLECTOR, more].concat())
    }

    #[test]
    fn every_option_of_import_csv_is_a_variable() {
        let settings = with(&[
            ("FOREBAY_CSV_TIME_COLUMNS", "at,due"),
            ("FOREBAY_CSV_TYPE", "track"),
            ("FOREBAY_CSV_DELIMITER", ";"),
            ("FOREBAY_CSV_STRICT", "true"),
            ("FOREBAY_CSV_ARRAYS", "false"),
            ("FOREBAY_CSV_ON_ROW_ERROR", "max:5"),
            ("AWS_REGION", "us-east-1"),
        ])
        .unwrap();
        let format = &settings.csv.format;
        assert_eq!(format.time_columns, ["at", "due"]);
        assert_eq!((format.strict, format.arrays), (true, false));
        let track = crate::cli::import::args::TypeArg::Calls(crate::call::CallKind::Track);
        assert_eq!(settings.csv.given.kind, Some(track));
        let To::Collector { url, write_key } = &settings.to else { panic!("{:?}", settings.to) };
        assert_eq!((url.as_str(), write_key.as_str()), ("http://127.0.0.1:1", "k"));
        assert_eq!((settings.unfinished, settings.stop_before), (Unfinished::Retry, STOP_BEFORE));
        for (refused, _) in REFUSED {
            assert!(csv_options().iter().any(|option| option.long == refused), "no option {refused}");
        }
    }

    #[test]
    fn problems_are_named_all_at_once() {
        let check = |pairs: &[(&str, &str)], parts: &[&str]| {
            let error = of(pairs).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        };
        check(&[], &["rows have nowhere to go"]);
        check(
            &[("FOREBAY_COLLECTOR_URL", "x"), ("FOREBAY_CSV_DELIMITER", "ab"), ("FOREBAY_CONTINUE", "later")],
            &[
                "FOREBAY_COLLECTOR_URL: expected a URL",
                "FOREBAY_WRITE_KEY: not set",
                "FOREBAY_CSV_DELIMITER: ",
                "FOREBAY_CONTINUE: expected retry or self-invoke",
            ],
        );
        let refuse = |name: &str, part: &str| {
            let error = with(&[(name, "x")]).unwrap_err();
            assert!(error.starts_with(name) && error.contains(part), "{error}");
        };
        refuse("FOREBAY_CSV_PREVIEW", "a function has no --preview");
        refuse("FOREBAY_CSV_JOURNAL", "use FOREBAY_JOURNAL");
        refuse("FOREBAY_CSV_FORCE", "begin its files at their first row");
        refuse("FOREBAY_CSV_TIME_COLUMN", "FOREBAY_CSV_TIME_COLUMNS, ");
        assert_eq!(with(&[("FOREBAY_JOURNEL", "x")]).unwrap().ignored, ["FOREBAY_JOURNEL"]);
        refuse("FOREBAY_CSV_STRICT", "expected true or false");
        refuse("FOREBAY_CSV_SOURCE", "FOREBAY_WRITE_KEY");
        refuse("FOREBAY_JOURNAL", "expected s3://bucket/prefix/");
        refuse("FOREBAY_STOP_BEFORE", "expected milliseconds");
        refuse("FOREBAY_OUTPUT_PART", "is for FOREBAY_OUTPUT");
        refuse("FOREBAY_ON_MISSING", "expected fail or skip");
        check(&[COLLECTOR[0], COLLECTOR[1], ("FOREBAY_CSV_ID_FROM", "row-hash")], &["FOREBAY_CSV_ID_FROM: "]);
        check(
            &[COLLECTOR[0], COLLECTOR[1], ("FOREBAY_CONTINUE", "self-invoke")],
            &["self-invoke needs FOREBAY_JOURNAL"],
        );
        check(&[COLLECTOR[0], COLLECTOR[1], ("FOREBAY_OUTPUT", "s3://bucket")], &["set one of them"]);
        check(&[("FOREBAY_OUTPUT", "bucket")], &["FOREBAY_OUTPUT: expected s3://bucket/prefix"]);
    }

    #[test]
    fn objects_have_a_source_a_size_and_perhaps_a_key() {
        let settings = of(&[("FOREBAY_OUTPUT", "s3://bucket/a/b/")]).unwrap();
        let To::Objects { destination, source, part_bytes } = settings.to else {
            panic!("{:?}", settings.to)
        };
        let part = usize::try_from(PART.0).unwrap();
        assert_eq!((destination.bucket.prefix(), source.as_str(), part_bytes), ("a/b", "csv", part));
        assert_eq!(destination.encryption, Encryption::None);
        let settings = of(&[
            ("FOREBAY_OUTPUT", "s3://bucket"),
            ("FOREBAY_CSV_SOURCE", "shop"),
            ("FOREBAY_OUTPUT_PART", "1 MiB"),
            ("FOREBAY_OUTPUT_SSE_KMS_KEY", "alias/k"),
            ("FOREBAY_STOP_BEFORE", "2500"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.stop_before, Duration::from_millis(2_500));
        let To::Objects { destination, source, part_bytes } = settings.to else {
            panic!("{:?}", settings.to)
        };
        assert_eq!((source.as_str(), part_bytes), ("shop", 1_024 * 1_024));
        assert_eq!(destination.encryption.kms().unwrap().key.as_str(), "alias/k");
        assert!(of(&[("FOREBAY_OUTPUT", "s3://bucket"), ("FOREBAY_OUTPUT_PART", "1 KiB")]).is_err());
        assert!(of(&[("FOREBAY_OUTPUT", "s3://bucket"), ("FOREBAY_CSV_ROWS", "0..5")]).is_err());
    }

    #[test]
    fn the_page_names_every_variable_and_no_other() {
        let page = include_str!("../../../docs/lambda-environment.md");
        let named = |text: &str| -> Vec<String> {
            let name = |part: &str| -> String {
                part.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect()
            };
            text.split("`FOREBAY_").skip(1).map(|part| format!("FOREBAY_{}", name(part))).collect()
        };
        let said = named(page);
        let known = csv_variables();
        let own = OWN.iter().filter(|name| name.starts_with("FOREBAY_")).map(|name| (*name).to_owned());
        for variable in known.iter().cloned().chain(own.clone()) {
            assert!(said.contains(&variable), "{variable} is not on the page");
        }
        let all: Vec<String> = known.iter().cloned().chain(own).chain([CSV.to_owned()]).collect();
        for variable in said {
            assert!(all.contains(&variable), "the page names {variable}, which is none");
        }
        assert!(page.contains("`write_key`"));
    }

    #[test]
    fn a_time_before_the_deadline_has_a_unit_or_is_in_milliseconds() {
        assert_eq!(stop_before("1500"), Ok(Duration::from_millis(1_500)));
        assert_eq!(stop_before("20 s"), Ok(Duration::from_secs(20)));
        assert!(stop_before("soon").is_err());
    }
}
