//! What the README quotes is what was printed.

#[test]
fn the_readme_quotes_what_the_check_printed() {
    let readme = include_str!("../../../README.md");
    let printed = [
        include_str!("../../../docs/check/small-broken.txt"),
        include_str!("../../../docs/check/small-sound.txt"),
    ];
    for text in printed {
        let quoted: Vec<String> = text
            .trim_end()
            .lines()
            .map(|line| if line.is_empty() { String::new() } else { format!("    {line}") })
            .collect();
        assert!(readme.contains(&quoted.join("\n")), "not in README.md:\n{text}");
    }
}
