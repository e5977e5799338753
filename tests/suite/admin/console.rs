//! The files of the console: as built from their sources, and as they are served.

use std::fs;
use std::path::Path;
use std::process::Command;

use forebay::admin::AccessSettings;
use forebay::admin_token::AdminToken;

use super::listener::{Answer, send};
use super::{Running, start, start_with};
use crate::support::tools;

const HOST: &str = "Host: localhost\r\n";
const BROWSER: &str = "Host: localhost\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
/// Each path, the file in `built` and its content type.
const FILES: [(&str, &str, &str); 5] = [
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/console.js", "console.js", "text/javascript; charset=utf-8"),
    ("/console.css", "console.css", "text/css; charset=utf-8"),
    ("/favicon.svg", "favicon.svg", "image/svg+xml"),
    ("/licenses.txt", "licenses.txt", "text/plain; charset=utf-8"),
];

fn console() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/console")
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn get(running: &Running, path: &str, headers: &str) -> Answer {
    send(running, "GET", path, headers).await
}

#[tokio::test]
async fn the_files_are_served_as_they_were_built() {
    let running = start(&[]).await;
    for (path, file, content_type) in FILES {
        let answer = get(&running, path, BROWSER).await;
        let built = fs::read_to_string(console().join("built").join(file)).unwrap();
        assert!(answer.status == 200 && answer.body == built, "{path}");
        let check = |name: &str, value: &str| assert_eq!(header(&answer, name), Some(value), "{path}");
        check("content-type", content_type);
        check("content-length", &built.len().to_string());
        check("cache-control", "no-cache");
        check("x-frame-options", "deny");
        check("referrer-policy", "no-referrer");
        check("x-content-type-options", "nosniff");
        check(
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        );
        let head = send(&running, "HEAD", path, BROWSER).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(header(&head, "etag"), header(&answer, "etag"), "{path}");
    }
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let running = start(&[]).await;
    let mut tags = Vec::new();
    for (path, ..) in FILES {
        let tag = header(&get(&running, path, BROWSER).await, "etag").unwrap().to_owned();
        let again = get(&running, path, &format!("{BROWSER}If-None-Match: {tag}\r\n")).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        assert_eq!(header(&again, "etag"), Some(tag.as_str()), "{path}");
        let other = get(&running, path, &format!("{BROWSER}If-None-Match: \"other\"\r\n")).await;
        assert_eq!(other.status, 200, "{path}");
        assert!(!tags.contains(&tag), "{path}");
        tags.push(tag);
    }
}

#[tokio::test]
async fn who_is_no_browser_gets_a_line_of_text() {
    let running = start(&[]).await;
    for accept in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
        let answer = get(&running, "/", &format!("{HOST}{accept}")).await;
        assert!(answer.body.starts_with("Forebay: ") && answer.body.lines().count() == 1, "{}", answer.body);
        assert_eq!(header(&answer, "content-type"), Some("text/plain; charset=utf-8"));
    }
}

/// The page itself asks for the token.
#[tokio::test]
async fn the_page_needs_no_token() {
    let token = AdminToken::of("an-admin-token-of-a-test").ok();
    let running = start_with(&[], AccessSettings { token, ..AccessSettings::default() }).await;
    for (path, ..) in FILES {
        assert_eq!(get(&running, path, BROWSER).await.status, 200, "{path}");
    }
    assert_eq!(get(&running, "/api/status", BROWSER).await.status, 401);
    assert_eq!(get(&running, "/console.js", "Host: evil.example\r\n").await.status, 421);
}

/// The content security policy allows nothing else, so such a page would not work.
#[test]
fn the_page_has_no_inline_script_or_style_and_asks_no_other_host() {
    let page = fs::read_to_string(console().join("built/index.html")).unwrap();
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("onclick"), "{page}");
    assert_eq!(page.matches("<script").count(), page.matches("<script src=\"").count(), "{page}");
    for from in ["http://", "https://", "\"//"] {
        assert!(!page.contains(from), "{page}");
    }
    let style = fs::read_to_string(console().join("built/console.css")).unwrap();
    assert!(!style.contains("@import") && !style.contains("http"), "the style asks another host");
}

#[tokio::test]
async fn the_built_files_match_their_sources() {
    let Some(packages) = tools::require("console/node_modules") else { return };
    let Some(_node) = tools::on_path("node") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut build = Command::new(console().join("page/build"));
    build.arg(folder.path()).arg(packages);
    let done = tools::run(build).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let built = console().join("built");
    assert_eq!(names(folder.path()), names(&built));
    for name in names(&built) {
        let (made, kept) =
            (fs::read(folder.path().join(&name)).unwrap(), fs::read(built.join(&name)).unwrap());
        assert!(made == kept, "{name:?} differs from its sources: run src/admin/console/page/build");
    }
}
