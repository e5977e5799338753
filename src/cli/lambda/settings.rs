//! What the environment of a function says about an import: each option of `forebay import csv` is a
//! variable.

use std::collections::BTreeMap;

use clap::{ArgAction, CommandFactory, Parser};

use crate::cli::failure::Failure;
use crate::cli::import::args::ImportCsvArgs;
use crate::import::csv::IdFrom;
use crate::node::function::settings::{OWN, OfImport, Said, Settings};

const CSV: &str = "FOREBAY_CSV_";
/// The options of `import csv` that a function cannot have, and why.
const REFUSED: [(&str, &str); 13] = [
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

/// The options of `import csv`, without its name.
#[derive(Parser)]
#[command(name = "forebay lambda", disable_help_flag = true, disable_version_flag = true)]
struct Csv {
    #[command(flatten)]
    args: ImportCsvArgs,
}

/// An option of `import csv`: its variable, its flag, whether it is a switch, and why a function cannot have
/// it, if so.
struct CsvOption {
    variable: String,
    long: String,
    is_switch: bool,
    refused: Option<&'static str>,
}

fn csv_options() -> Vec<CsvOption> {
    let command = Csv::command();
    let options = command.get_arguments().filter_map(|arg| {
        let long = arg.get_long()?.to_owned();
        let variable = format!("{CSV}{}", long.to_ascii_uppercase().replace('-', "_"));
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        let refused = REFUSED.iter().find(|(refused, _)| *refused == long).map(|(_, why)| *why);
        Some(CsvOption { variable, long, is_switch, refused })
    });
    options.collect()
}

/// The variables that stand for options of `import csv`.
fn csv_variables() -> Vec<String> {
    let options = csv_options().into_iter().filter(|option| option.refused.is_none());
    options.map(|option| option.variable).collect()
}

/// What the environment says.
#[derive(Debug)]
pub(super) struct FromEnvironment {
    /// The options of `import csv`, as that command parses them.
    pub(super) csv: ImportCsvArgs,
    /// The settings of the function itself.
    pub(super) settings: Settings,
    /// Variables that begin like Forebay's and mean nothing to a function.
    pub(super) ignored: Vec<String>,
}

impl FromEnvironment {
    /// Parses these variables. Errors: [`Failure`] with all problems, each with the name of its variable.
    pub(super) fn of(environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let mut said = Said::new(environment);
        let ignored = refuse_unknown(&mut said);
        let csv = csv(&mut said);
        let of =
            |csv: &ImportCsvArgs| OfImport { source: csv.to.source.clone(), has_rows: csv.rows.is_some() };
        let (csv, settings) = said.settings(csv, of).map_err(Failure::usage)?;
        Ok(Self { csv, settings, ignored })
    }
}

fn refuse_unknown(said: &mut Said<'_>) -> Vec<String> {
    let options = csv_options();
    let mut ignored = Vec::new();
    let ours = |name: &&String| name.starts_with("FOREBAY_") && !OWN.contains(&name.as_str());
    for name in said.names().filter(ours) {
        match options.iter().find(|option| option.variable == *name) {
            Some(CsvOption { long, refused: Some(why), .. }) => {
                said.problem(format!("{name}: a function has no --{long}: {why}"));
            }
            Some(_) => {}
            None if name.starts_with(CSV) => {
                said.problem(format!("{name}: no such option; there are {}", csv_variables().join(", ")));
            }
            None => ignored.push(name.clone()),
        }
    }
    ignored
}

/// The options of `import csv`, parsed by its own parser. Each is first parsed alone, so that a wrong one is
/// named.
fn csv(said: &mut Said<'_>) -> Option<ImportCsvArgs> {
    // The parser requires a file.
    let mut all = vec!["forebay".to_owned(), "s3://bucket/key".to_owned()];
    let first = all.clone();
    let mut is_whole = true;
    let options = csv_options().into_iter().filter(|option| option.refused.is_none());
    for CsvOption { variable, long, is_switch, .. } in options {
        let Some(value) = said.text(&variable) else { continue };
        let arg = match (is_switch, value.to_ascii_lowercase().as_str()) {
            (false, _) => format!("--{long}={value}"),
            (true, "true" | "1" | "yes" | "on") => format!("--{long}"),
            (true, "false" | "0" | "no" | "off") => continue,
            (true, _) => {
                said.wrong(&variable, "expected true or false");
                is_whole = false;
                continue;
            }
        };
        if let Err(error) = Csv::try_parse_from(first.iter().chain([&arg])) {
            let text = error.render().to_string();
            let text = text.lines().next().unwrap_or_default();
            said.wrong(&variable, text.trim_start_matches("error: "));
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
                let why = "a function has no disk that keeps the hashes of rows: use position or column:NAME";
                said.wrong("FOREBAY_CSV_ID_FROM", why);
            }
            Some(args)
        }
        Err(error) => {
            said.problem(error.render().to_string().lines().next().unwrap_or_default().to_owned());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lambda::function::To;
    use crate::object::Encryption;

    fn of(pairs: &[(&str, &str)]) -> Result<FromEnvironment, String> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        FromEnvironment::of(&pairs.collect()).map_err(|failure| failure.to_string())
    }

    const COLLECTOR: [(&str, &str); 2] =
        [("FOREBAY_COLLECTOR_URL", "http://127.0.0.1:1"), ("write_key", "k")];

    fn with(more: &[(&str, &str)]) -> Result<FromEnvironment, String> {
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
        let track = crate::import::discovery::row_type::NamedKind::Calls(crate::call::CallKind::Track);
        assert_eq!(settings.csv.format.kind, Some(track));
        let To::Collector { url, write_key } = &settings.settings.to else { panic!("{settings:?}") };
        assert_eq!((url.as_str(), write_key.as_str()), ("http://127.0.0.1:1", "k"));
        assert!(!settings.settings.invokes_itself);
        assert_eq!(settings.settings.stop_before, Duration::from_secs(10));
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
        let To::Objects { location, source, part_bytes } = settings.settings.to else {
            panic!("{settings:?}")
        };
        assert_eq!(
            (location.bucket.prefix(), source.as_str(), part_bytes),
            ("a/b", "csv", 8 * 1_024 * 1_024)
        );
        assert_eq!(location.encryption, Encryption::None);
        let settings = of(&[
            ("FOREBAY_OUTPUT", "s3://bucket"),
            ("FOREBAY_CSV_SOURCE", "shop"),
            ("FOREBAY_OUTPUT_PART", "1 MiB"),
            ("FOREBAY_OUTPUT_SSE_KMS_KEY", "alias/k"),
            ("FOREBAY_STOP_BEFORE", "2500"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.settings.stop_before, Duration::from_millis(2_500));
        let To::Objects { location, source, part_bytes } = settings.settings.to else {
            panic!("{settings:?}")
        };
        assert_eq!((source.as_str(), part_bytes), ("shop", 1_024 * 1_024));
        assert_eq!(location.encryption.kms().unwrap().key.as_str(), "alias/k");
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
}
