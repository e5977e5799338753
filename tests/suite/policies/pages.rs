//! Each template has a page, and each page describes what is in its template.

use std::collections::BTreeSet;

use serde_json::Value;

use super::printed::project;

fn read(name: &str) -> String {
    std::fs::read_to_string(project(&format!("policies/{name}"))).unwrap()
}

/// The texts in backquotes in the first cell of each table row.
fn rows(page: &str) -> BTreeSet<String> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(name, _)| name.to_owned()).collect()
}

fn templates() -> Vec<String> {
    let files = std::fs::read_dir(project("policies")).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
}

#[test]
fn the_rows_of_a_page_are_the_statements_of_its_template() {
    for name in templates() {
        let page = read(&format!("{name}.md"));
        let template: Value = serde_json::from_str(&read(&format!("{name}.json"))).unwrap();
        let (items, naming) = match template.get("Statement") {
            Some(statements) => (statements, "Sid"),
            None => (&template["Rules"], "ID"),
        };
        let sids = items.as_array().unwrap().iter().map(|item| item[naming].as_str().unwrap().to_owned());
        assert_eq!(rows(&page), sids.collect(), "{name}.md");
        assert!(page.contains("AWS documentation: "), "{name}.md names no AWS page");
    }
}

#[test]
fn the_page_of_a_stack_explains_its_parameters() {
    for (name, least) in [("cloudformation", 10), ("lambda-destination-cloudformation", 3)] {
        let template = read(&format!("{name}.yaml"));
        let after = template.split("\nParameters:\n").nth(1).unwrap();
        // The section ends at the next line that is not indented.
        let lines = after.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
        let headings = lines.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        let page = read(&format!("{name}.md"));
        let mut count = 0;
        for parameter in headings.filter(|heading| !heading.starts_with(' ')) {
            assert!(page.contains(&format!("`{parameter}`")), "{name}: {parameter} is not explained");
            count += 1;
        }
        assert!(count >= least, "{name}: {count}");
    }
}

#[test]
fn the_index_links_every_page_and_explains_every_placeholder() {
    let index = read("README.md");
    let mut names = templates();
    names.extend(["cloudformation", "lambda-destination-cloudformation"].map(str::to_owned));
    for name in &names {
        assert!(index.contains(&format!("]({name}.md)")), "{name} is not in the index");
    }
    let explained: String = index.lines().filter(|line| line.starts_with("| `")).collect();
    let words = templates().into_iter().flat_map(|name| {
        let text = read(&format!("{name}.json"));
        let capital = |c: char| c.is_ascii_uppercase() || c == '_';
        let words = text.split(|c| !capital(c)).filter(|word| word.len() > 3).map(str::to_owned);
        words.collect::<Vec<_>>()
    });
    // The storage class of the lifecycle, and a header's value.
    let placeholders: BTreeSet<String> = words.filter(|word| word != "STANDARD_IA").collect();
    for word in &placeholders {
        let found = explained.contains(&format!("`{word}`")) || explained.contains(&format!("`{word}/`"));
        assert!(found, "{word} is not explained");
    }
    assert_eq!(placeholders.len(), 26, "{placeholders:?}");
}
