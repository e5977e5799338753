//! The README quotes parts of the `forebay check` output in `docs/check`.

const README: &str = include_str!("../../../README.md");
const PROMPT: &str = "    $ forebay check";
/// Marks omitted lines in a quotation.
const LEFT_OUT: &str = "…";

/// The indented blocks that begin with the prompt.
fn quotations() -> Vec<Vec<&'static str>> {
    let mut lines = README.lines();
    let mut quotations = Vec::new();
    while lines.by_ref().any(|line| line == PROMPT) {
        let block = lines.by_ref().map_while(|line| line.strip_prefix("    "));
        quotations.push(block.collect());
    }
    quotations
}

/// The words without line breaks: the README is narrower than the program's output, so it wraps long lines.
fn words(lines: &[&str]) -> Vec<String> {
    lines.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect()
}

/// Where `part` ends in `text`.
fn end_of(part: &[String], text: &[String]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part).map(|at| at + part.len())
}

#[test]
fn the_readme_quotes_the_output_of_check() {
    let printed = [
        ("small-broken.txt", include_str!("../../../docs/check/small-broken.txt")),
        ("small-sound.txt", include_str!("../../../docs/check/small-sound.txt")),
    ];
    let quotations = quotations();
    assert_eq!(quotations.len(), printed.len(), "README.md quotes one run after another");
    for ((file, text), quotation) in printed.into_iter().zip(quotations) {
        let printed = words(&text.lines().collect::<Vec<_>>());
        let parts = quotation.split(|line| line.trim() == LEFT_OUT).map(words);
        let mut rest = printed.as_slice();
        let mut found = 0;
        for part in parts.filter(|part| !part.is_empty()) {
            let end = end_of(&part, rest)
                .unwrap_or_else(|| panic!("README.md, but not docs/check/{file}: {}", part.join(" ")));
            rest = &rest[end..];
            found += 1;
        }
        assert!(found >= 2, "README.md quotes too little of docs/check/{file}");
    }
}
