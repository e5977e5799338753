//! Each link from a page to another leads to a file that is there and, in a page, to one of its headings.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Folders with pages, besides the root itself.
const FOLDERS: [&str; 4] = ["docs", "policies", "benches", "fuzz"];

#[test]
fn each_link_between_pages_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = pages(root);
    assert!(pages.contains_key(Path::new("README.md")) && pages.len() > 30, "{}", pages.len());
    let mut dead = Vec::new();
    for (page, text) in &pages {
        for link in links(text) {
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.clone() } else { beside(page, path) };
            let leads = match pages.get(&target) {
                Some(text) => heading.is_empty() || headings(text).iter().any(|one| one == heading),
                None => root.join(&target).exists(),
            };
            if !leads {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn links_and_headings_are_read_as_a_browser_shows_them() {
    let page = "# A `b`: c, 1 / 2?\n[x](one.md#two) and\n[long\nname](three.md)\n\n    [code](no.md)\n\n```\n# no\n[code](no.md)\n```\n\
                `[code](no.md)` [out](https://example.com) ![picture](p.png)\n## [Linked](y.md) heading\n";
    assert_eq!(links(page), ["one.md#two", "three.md", "p.png", "y.md"]);
    assert_eq!(headings(page), ["a-b-c-1--2", "linked-heading"]);
    assert_eq!(beside(Path::new("docs/migrate/x.md"), "../s3.md"), Path::new("docs/s3.md"));
}

/// All pages by their path from the root.
fn pages(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    read_folder(root, Path::new(""), false, &mut pages);
    for folder in FOLDERS {
        read_folder(root, Path::new(folder), true, &mut pages);
    }
    pages
}

fn read_folder(root: &Path, folder: &Path, below: bool, pages: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            let is_ours = !["target", "node_modules"].contains(&entry.file_name().to_str().unwrap());
            if below && is_ours {
                read_folder(root, &path, true, pages);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.insert(path, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// The page without blocks of code.
fn prose(page: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in page.lines() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if !fence && !fenced && !line.starts_with("    ") {
            prose.push_str(line);
        }
        prose.push('\n');
    }
    prose
}

/// The targets of links and pictures, without those to other sites.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    // By paragraph, so that a single backtick hides only its own paragraph.
    let text: String = prose.split("\n\n").flat_map(|paragraph| paragraph.split('`').step_by(2)).collect();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn headings(page: &str) -> Vec<String> {
    let prose = prose(page);
    let titles =
        prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.map(anchor).collect()
}

fn anchor(title: &str) -> String {
    let mut shown = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    let kept = shown.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

/// Where a link of a page leads, from the root.
fn beside(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().unwrap().to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}
