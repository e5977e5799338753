//! docs/configuration.md, held to the settings themselves.

use std::collections::BTreeMap;

use forebay::config::raw::{
    DESTINATION_KEYS, IMPORT_KEYS, OF_KAFKA, SECRET_KEYS, SECTIONS, SOURCE_KEYS, variable_of,
};

use super::{SMALLEST, load, problems};

const PAGE: &str = include_str!("../../../docs/configuration.md");

/// The cells of each row of the table below a heading.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = rest.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect())
        .collect()
}

#[test]
fn the_page_has_every_setting_with_its_variable_and_default() {
    // Every section has all its defaults; only the bucket has none.
    let loaded = load(SMALLEST, &[]).unwrap();
    let defaults: BTreeMap<String, String> =
        loaded.values().into_iter().map(|value| (value.name, value.value)).collect();
    for (section, keys) in SECTIONS {
        let rows = rows(&format!("[{section}]"));
        assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), keys, "[{section}]");
        for row in rows {
            let [key, kind, default, variable, meaning] = row[..] else { panic!("{row:?}") };
            assert_eq!(variable, variable_of(section, key));
            assert!(!kind.is_empty() && meaning.ends_with('.'), "{row:?}");
            let name = format!("{section}.{key}");
            let expected = match (name.as_str(), defaults[&name].as_str()) {
                ("s3.bucket", _) | (_, "(not set)") => "not set",
                ("collector.client_libraries", _) => "see [SDKs](sdks.md#routes)",
                (_, value) => value,
            };
            assert_eq!(default, expected, "{name}");
        }
    }
    let sources = rows("[[source]]");
    let known = || SOURCE_KEYS.iter().chain(OF_KAFKA).copied();
    let listed =
        sources.iter().map(|row| row[0]).filter(|key| *key != "spread" || known().any(|of| of == *key));
    assert_eq!(listed.collect::<Vec<_>>(), known().collect::<Vec<_>>());
    assert!(sources.iter().all(|row| row.len() == 3 && row[2].ends_with('.')), "{sources:?}");
    let destinations = rows("[[destination]]");
    assert_eq!(destinations.iter().map(|row| row[0]).collect::<Vec<_>>(), DESTINATION_KEYS);
    assert!(destinations.iter().all(|row| row.len() == 3 && row[2].ends_with('.')), "{destinations:?}");
    let imports = rows("[[import]]");
    assert_eq!(imports.iter().map(|row| row[0]).collect::<Vec<_>>(), IMPORT_KEYS);
    assert!(imports.iter().all(|row| row.len() == 3 && row[2].ends_with('.')), "{imports:?}");
}

/// The section of collectors and writers.
#[cfg(feature = "kafka")]
#[test]
fn the_page_has_every_setting_of_a_log_in_kafka() {
    for (section, keys) in forebay::config::raw::KAFKA {
        let rows = rows(&format!("[{section}]"));
        assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), *keys);
        for row in rows {
            let [key, kind, _, variable, meaning] = row[..] else { panic!("{row:?}") };
            assert!(meaning.ends_with('.'), "{row:?}");
            if kind == "table" {
                assert_eq!(variable, "", "a variable is a text");
                continue;
            }
            assert_eq!(variable, variable_of(section, key));
            let said = problems(&format!("[{section}]\n{key} = 0.5\n{SMALLEST}"), &[]);
            let named = format!("line 2: {section}.{key} ");
            let said = said.iter().find_map(|said| said.strip_prefix(&named)).unwrap();
            let form = match kind {
                "size" => "a size with its unit",
                "duration" => "a duration with its unit",
                "list" => "a list",
                "choice" => "expected \"",
                _ => "expected",
            };
            assert!(said.contains(form), "{section}.{key} is no {kind}: {said}");
        }
    }
}

/// What is said about a number with a fraction, which no setting takes, tells the type that is expected.
#[test]
fn the_page_has_the_type_that_is_read() {
    for (section, _) in SECTIONS {
        for row in rows(&format!("[{section}]")) {
            let (key, kind) = (row[0], row[1]);
            let line = format!("{key} = 0.5\n");
            let text = match (section, key) {
                ("s3", "bucket") => SMALLEST.replacen("bucket = \"b-1\"\n", &line, 1),
                ("s3", _) => SMALLEST.replacen("[s3]\n", &format!("[s3]\n{line}"), 1),
                _ => format!("[{section}]\n{line}{SMALLEST}"),
            };
            let said = problems(&text, &[]);
            let named = format!("line 2: {section}.{key} ");
            let said = said.iter().find_map(|said| said.strip_prefix(&named)).unwrap();
            let fits = match kind {
                "address" => said.contains("an address and a port"),
                "size" => said.contains("a size with its unit"),
                "duration" => said.contains("a duration with its unit"),
                "true or false" => said.contains("expected true or false"),
                "number" => said.contains("expected a whole number"),
                "list" => said.contains("expected a list"),
                "choice" => said.contains("expected \""),
                "secret" => SECRET_KEYS.contains(&key) || key == "webhook",
                "text" => ["size", "duration", "list", "whole number", "true or", "expected \""]
                    .iter()
                    .all(|other| !said.contains(other)),
                other => panic!("{section}.{key}: {other} is no type"),
            };
            assert!(fits, "{section}.{key} is no {kind}: {said}");
        }
    }
}
