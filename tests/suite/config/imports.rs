//! What `[[import]]` says, what is refused in it, and the texts that say so.

use std::time::Duration;

use forebay::config::{After, DevFile, Environment, ImportSettings, Loader, OnChange};
use forebay::convert::{DataType, Strategy};
use forebay::dev_s3::BUCKET;
use forebay::import::OnRowError;
use forebay::time::UnixMillis;

use super::{SMALLEST, load_with};

/// A converter for each data type.
pub(super) const CONVERTER: &str = r#"{"converterConfig": {"fileType": "json", "convertToAmplitudeFunc": {
    "event_type": "e", "user_id": "u", "insert_id": "i", "groups": "g", "group_properties": "p"}}}"#;
const NEEDED: &str = "bucket = \"files\"\nconverter = \"c.json\"\n";
const NO_WINDOW: &str = "insert_id_window = \"0 s\"\n";

fn import(lines: &str) -> String {
    format!("[[import]]\nname = \"orders\"\n{lines}\n")
}

/// The import with these lines beside those that it needs.
fn read(lines: &str) -> ImportSettings {
    let text = format!("{SMALLEST}{}", import(&format!("{NEEDED}{NO_WINDOW}{lines}")));
    let loaded = load_with(&text, &[("c.json", CONVERTER)]);
    loaded.unwrap_or_else(|error| panic!("{lines}: {error}")).config.imports.remove(0)
}

/// All problems of a file with these lines at its end.
fn problems(lines: &str) -> Vec<String> {
    let files = [("c.json", CONVERTER), ("bad.json", BAD)];
    let loaded = load_with(&format!("{SMALLEST}{lines}"), &files).map(|loaded| loaded.config.imports);
    loaded.unwrap_err().problems.iter().map(ToString::to_string).collect()
}

const BAD: &str =
    r#"{"converterConfig": {"fileTyp": "json", "convertToAmplitudeFunc": {"user_id": ["lowr", "u"]}}}"#;

/// Expects a single problem of the import with these lines beside those that it needs.
fn check(lines: &str, expected: &str) {
    let set = |key: &str| lines.contains(&format!("{key} ="));
    let mut all = lines.to_owned();
    for (key, line) in [
        ("bucket", "bucket = \"files\""),
        ("converter", "converter = \"c.json\""),
        ("insert_id_window", NO_WINDOW),
    ] {
        if !set(key) {
            all = format!("{all}\n{line}");
        }
    }
    let found = problems(&import(&all));
    let [problem] = &found[..] else { panic!("{lines}: {found:#?}") };
    assert!(problem.contains(&format!("import.orders.{expected}")), "{lines}: {problem}");
}

#[test]
fn the_smallest_import_has_the_defaults() {
    let import = read("");
    assert_eq!((import.name.as_str(), import.source.as_str(), import.enabled), ("orders", "web", true));
    assert_eq!((import.bucket.to_string().as_str(), import.prefix.as_str()), ("files", ""));
    assert_eq!(
        (import.scan_interval, import.full_scan_every),
        (Duration::from_secs(60), Duration::from_secs(3_600))
    );
    assert_eq!((import.serial, import.parallel, import.on_change), (false, 4, OnChange::Ignore));
    assert_eq!(import.converter.as_ref().unwrap().kind(), (DataType::Event, Strategy::AppendOnly));
    assert_eq!(import.size, 0..=5_000_000_000);
    assert_eq!((import.on_row_error, import.missing_fails), (OnRowError::MaxPercent(50), false));
    assert_eq!(
        (import.endpoint, import.role, import.modified_after, import.rejects),
        (None, None, None, None)
    );
}

#[test]
fn each_setting_is_read() {
    let import = read(
        "description = \"d\"\nenabled = false\nsource = \"web\"\nprefix = \"in/\"\nregion = \"eu-west-1\"\n\
         endpoint_url = \"http://127.0.0.1:9000\"\nrole_arn = \"arn:aws:iam::111122223333:role/r\"\n\
         external_id = \"id-of-it\"\nmodified_after = \"2024-03-01T00:00:00Z\"\nscan_interval = \"5 s\"\n\
         full_scan_every = \"2 h\"\nserial = true\nparallel = 8\non_change = \"ignore\"\nmin_size = \"1 KB\"\n\
         max_size = \"1 MB\"\non_row_error = \"max:3\"\non_missing = \"fail\"\nallow_expansion = true\n\
         rejects = \"/var/bad\"\njournal = \"local\"\nafter = \"none\"\n\
         discovery = \"scan\"",
    );
    assert_eq!((import.enabled, import.serial, import.parallel), (false, true, 8));
    assert_eq!(import.modified_after, Some(UnixMillis(1_709_251_200_000)));
    assert_eq!((import.size, import.on_row_error), (1_000..=1_000_000, OnRowError::Max(3)));
    assert_eq!(
        (import.on_change, import.missing_fails, import.allow_expansion),
        (OnChange::Ignore, true, true)
    );
    assert_eq!(import.rejects.as_deref(), Some("/var/bad"));
    assert_eq!(import.external_id.map(|id| id.to_string()).as_deref(), Some("id-of-it"));
    // Mirror keeps the order of files, and compares no rows by their insert_id.
    let profiles = read("data_type = \"profiles\"");
    assert_eq!((profiles.converter.as_ref().unwrap().kind().1, profiles.serial), (Strategy::Mirror, true));
}

#[test]
fn what_is_wrong_is_said() {
    check("source = \"wbe\"", "source = \"wbe\": is the id of no [[source]]: did you mean \"web\"?");
    check("bucket = \"files/in\"", "bucket = \"files/in\": expected the name alone: write \"in\" as prefix");
    check("prefix = \"a\\u0000\"", "prefix = ");
    check("external_id = \"id-of-it\"", "external_id = \"id-of-it\": is used only with a role");
    check("modified_after = \"soon\"", "modified_after = \"soon\": expected an ISO 8601 time");
    check("modified_after = \"1709251200\"", "modified_after = \"1709251200\": expected an ISO 8601 time");
    check("parallel = 0", "parallel = 0: expected a whole number from 1 to 64");
    check("scan_interval = \"10\"", "scan_interval = \"10\": expected a duration with its unit");
    check("min_size = \"6 GB\"", "min_size = \"6 GB\": min_size cannot be more than max_size");
    check("on_row_error = \"some\"", "on_row_error = \"some\": expected reject, fail, max:N or maxpct:P");
    check("on_missing = \"wait\"", "on_missing = \"wait\": expected \"skip\" or \"fail\"");
    check("data_type = \"events\"", "data_type = \"events\": expected \"event\" or \"user_properties\" or");
    check(
        "data_type = \"user_properties\"\nstrategy = \"mirror\"",
        "strategy = \"mirror\": E-STRATEGY: user_properties supports append_only only",
    );
    check(
        "after = \"move:\"",
        "after = \"move:\": expected a prefix that ends with /, such as \"move:imported/\"",
    );
    assert_eq!(read("rejects = \"s3://other/bad/\"").rejects.as_deref(), Some("s3://other/bad/"));
    assert_eq!(read("rejects_max = \"2 MiB\"").rejects_max, 2 << 20);
    check("rejects_max = \"2 B\"", "rejects_max = \"2 B\": ");
    assert_eq!(read("on_change = \"reprocess\"").on_change, OnChange::Reprocess);
    check("on_change = \"again\"", "on_change = \"again\": ");
    check("rejects = \"s3://B\"", "rejects = \"s3://B\": a bucket name is 3 to 63");
    check(
        "prefix = \"s3://files/orders/\"",
        "prefix = \"s3://files/orders/\": expected what keys begin with, without s3:// and the bucket: write \"orders/\"",
    );
    check(
        "queue_url = \"https://sqs.a/q\"",
        "queue_url = \"https://sqs.a/q\": is only for discovery = \"sqs\" or \"both\"",
    );
    assert_eq!(read("").journal, None);
    assert_eq!(read("journal = \"local\"").journal, None);
    let shared = read("journal = \"s3://shared/journal/\"").journal;
    assert_eq!(shared.as_deref(), Some("s3://shared/journal/"));
    check("journal = \"s3://B\"", "journal = \"s3://B\": a bucket name is 3 to 63");
    check("journal = \"s3\"", "journal = \"s3\": expected \"local\" or \"s3://bucket/prefix/\"");
    check("parallell = 4", "parallell is unknown: did you mean import.orders.parallel?");
    check("converter = \"none.json\"", "converter = \"none.json\": cannot be read: No such file");
    let several = "[[source]]\nid = \"ios\"\nwrite_keys = [\"k2\"]\n";
    let found = problems(&format!("{several}{}", import(&format!("{NEEDED}{NO_WINDOW}"))));
    assert!(
        found.len() == 1 && found[0].contains("source is not set, and there are several sources"),
        "{found:?}"
    );
}

#[test]
fn notifications_need_a_queue_and_no_order() {
    let queue = "queue_url = \"https://sqs.eu-west-1.amazonaws.com/111122223333/files/\"";
    let url = "https://sqs.eu-west-1.amazonaws.com/111122223333/files";
    for (word, scans) in [("sqs", false), ("both", true)] {
        let discovery = read(&format!("discovery = {word:?}\n{queue}")).discovery;
        assert_eq!((discovery.word(), discovery.scans()), (word, scans));
        assert_eq!(discovery.queue().map(|queue| queue.url()), Some(url));
        check(
            &format!("discovery = {word:?}"),
            "queue_url is not set: discovery by notifications reads a queue",
        );
        let mirror = format!("discovery = {word:?}\n{queue}\ndata_type = \"profiles\"");
        check(
            &mirror,
            &format!(
                "discovery = {word:?}: brings notifications, and strategy = \"mirror\" imports files in"
            ),
        );
        assert!(!read(&format!("{mirror}\nserial = false")).serial);
        check(
            &format!("discovery = {word:?}\n{queue}\nserial = true"),
            "serial = true: imports files in the order in which they were stored",
        );
    }
    assert_eq!((read("").discovery.word(), read("").discovery.queue()), ("scan", None));
    check("discovery = \"push\"", "discovery = \"push\": expected \"scan\" or \"sqs\" or \"both\"");
    let both = |url: &str| format!("discovery = \"both\"\nqueue_url = {url:?}");
    check(&both("files"), "queue_url = \"files\": expected a URL");
    check(
        &both("https://sqs.eu-west-1.amazonaws.com"),
        "queue_url = \"https://sqs.eu-west-1.amazonaws.com\": expected the URL of a queue, with its account",
    );
    check(
        &both("http://169.254.169.254/1/q"),
        "queue_url = \"http://169.254.169.254/1/q\": a link-local address",
    );
    check(
        &both("https://u:p@sqs.a/1/q"),
        "queue_url = \"https://…@sqs.a/1/q\": expected a URL without user and password",
    );
}

#[test]
fn what_happens_to_imported_files_is_one_of_four() {
    for (text, after) in [
        ("none", After::Nothing),
        ("tag", After::Tag),
        ("delete", After::Delete),
        ("move:in/done/", After::Move("in/done/".to_owned())),
    ] {
        assert_eq!(read(&format!("after = {text:?}")).after, after);
    }
    assert_eq!(read("").after, After::Nothing);
    check(
        "after = \"remove\"",
        "after = \"remove\": expected \"none\", \"tag\", \"move:<prefix>\" or \"delete\"",
    );
    check("after = \"move:done\"", "after = \"move:done\": expected a prefix that ends with /");
    check(
        "bucket = \"b-1\"\nprefix = \"in/\"\nafter = \"move:segment-logs/in/\"",
        "after = \"move:segment-logs/in/\": would put files among the objects of source web",
    );
}

/// Rows of events are compared for a week at most, and other rows not at all.
#[test]
fn rows_are_compared_by_their_insert_id_unless_told_otherwise() {
    let window = |lines: &str| {
        let text = format!("{SMALLEST}{}", import(&format!("{NEEDED}{lines}")));
        load_with(&text, &[("c.json", CONVERTER)]).map(|loaded| loaded.config.imports[0].insert_id_window)
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    assert_eq!(window("").unwrap(), hours(7 * 24));
    assert_eq!(window("insert_id_window = \"36 h\"").unwrap(), hours(36));
    for none in [NO_WINDOW, "data_type = \"user_properties\"", "strategy = \"mirror\""] {
        assert_eq!(window(none).unwrap(), Duration::ZERO, "{none}");
    }
    check("insert_id_window = \"8 d\"", "insert_id_window = \"8 d\"");
    check(
        "insert_id_window = \"1 d\"\nstrategy = \"mirror\"",
        "insert_id_window = \"1 d\": is only for data_type = \"event\" with strategy = \"append_only\"",
    );
}

#[test]
fn the_problems_of_a_converter_are_those_of_its_setting() {
    let found =
        problems(&import(&format!("bucket = \"files\"\nconverter = \"bad.json\"\n{NO_WINDOW}parallel = 0")));
    let has = |text: &str| found.iter().any(|problem| problem.contains(text));
    assert!(has("converter = \"bad.json\": E-CONV /converterConfig/fileTyp: unknown key"), "{found:#?}");
    assert!(has("(did you mean \"fileType\"?)"), "{found:#?}");
    assert!(has("/converterConfig/convertToAmplitudeFunc/user_id: unknown operator \"lowr\""), "{found:#?}");
    assert!(has("import.orders.parallel = 0"), "all problems at once: {found:#?}");
}

#[test]
fn two_imports_do_not_share_a_name_a_queue_or_what_one_of_them_removes() {
    let one = |name: &str, lines: &str| {
        format!(
            "[[import]]\nname = {name:?}\nbucket = \"files\"\nconverter = \"c.json\"\n{NO_WINDOW}{lines}\n"
        )
    };
    let check = |first: &str, second: &str, expected: &str| {
        let found = problems(&format!("{first}{second}"));
        assert!(found.iter().any(|problem| problem.contains(expected)), "{found:#?}");
    };
    check(&one("a", ""), &one("a", ""), "import.a.name = \"a\": is also the name of another import");
    let queue = "discovery = \"sqs\"\nqueue_url = \"https://sqs.a/q\"";
    check(
        &one("a", queue),
        &one("b", queue),
        "import.b.queue_url = \"https://sqs.a/q\": is also the queue of import a",
    );
    check(
        &one("a", "prefix = \"in/\"\nafter = \"delete\""),
        &one("b", "prefix = \"in/x/\""),
        "import.a.after = \"delete\": would take files away from import b, which reads the same keys",
    );
    let apart =
        format!("{}{}", one("a", "prefix = \"in/\"\nafter = \"delete\""), one("b", "prefix = \"out/\""));
    let apart = load_with(&format!("{SMALLEST}{apart}"), &[("c.json", CONVERTER)]);
    assert_eq!(apart.map(|loaded| loaded.config.imports.len()).map_err(|error| error.to_string()), Ok(2));
}

#[test]
fn an_import_of_what_this_configuration_writes_is_refused() {
    let check = |lines: &str, is_loop: bool| {
        let text = format!("{SMALLEST}{}", import(&format!("converter = \"c.json\"\n{NO_WINDOW}{lines}")));
        let found = load_with(&text, &[("c.json", CONVERTER)]);
        let said = found.map(drop).map_err(|error| error.to_string());
        let found =
            said.as_ref().is_err_and(|said| said.contains("E-IMPORT-LOOP: nothing would be left to import"));
        assert_eq!(found, is_loop, "{lines}: {said:?}");
    };
    check("bucket = \"b-1\"\nprefix = \"segment-logs/\"", true);
    check("bucket = \"b-1\"\nprefix = \"segment-logs/web/\"", true);
    // The objects are below this prefix, and are left out.
    check("bucket = \"b-1\"", false);
    check("bucket = \"b-1\"\nprefix = \"segment-log\"", false);
    check("bucket = \"files\"\nprefix = \"segment-logs/\"", false);
    check("bucket = \"files\"\nprefix = \"bad/x/\"\nrejects = \"s3://files/bad/\"", true);
    check("bucket = \"files\"\nprefix = \"bad/x/\"\nrejects = \"s3://other/bad/\"", false);
    check("bucket = \"files\"\nprefix = \"in/done/\"\nafter = \"move:in/done/\"", true);
    check("bucket = \"files\"\nprefix = \"in/\"\nafter = \"move:in/done/\"", false);
    check("bucket = \"b-1\"\nprefix = \"segment-logs/\"\nendpoint_url = \"http://127.0.0.1:9000\"", false);
}

#[test]
fn a_start_shows_the_settings_of_imports() {
    let text = format!("{SMALLEST}{}", import(&format!("{NEEDED}{NO_WINDOW}prefix = \"in\"")));
    let loaded = load_with(&text, &[("c.json", CONVERTER)]).unwrap();
    let has = |text: &str| loaded.warnings.iter().any(|warning| warning.contains(text));
    assert!(has("import.orders.prefix = \"in\" does not end with /"), "{:?}", loaded.warnings);
    for (prefix, is_odd) in
        [("/in/", true), ("in//", true), ("in/../", true), ("./in/", true), ("in/.x/", false)]
    {
        let text = format!("{SMALLEST}{}", import(&format!("{NEEDED}{NO_WINDOW}prefix = \"{prefix}\"")));
        let warnings = load_with(&text, &[("c.json", CONVERTER)]).unwrap().warnings;
        assert_eq!(
            warnings.iter().any(|warning| warning.contains("keys are no paths")),
            is_odd,
            "{warnings:?}"
        );
    }
    let values = loaded.values();
    let value = |name: &str| {
        &values.iter().find(|value| value.name == format!("import.orders.{name}")).unwrap().value
    };
    assert_eq!((value("bucket").as_str(), value("source").as_str()), ("files", "web"));
    assert_eq!((value("on_row_error").as_str(), value("max_size").as_str()), ("maxpct:50", "5 GB"));
    assert_eq!((value("insert_id_window").as_str(), value("strategy").as_str()), ("0 s", "append_only"));
}

#[tokio::test]
async fn a_converter_that_is_saved_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let (path, converter) = (folder.path().join("forebay.toml"), folder.path().join("c.json"));
    std::fs::write(&path, format!("{SMALLEST}{}", import(&format!("{NEEDED}{NO_WINDOW}")))).unwrap();
    // Longer than a file with a secret may be.
    let long = format!("{CONVERTER}{}", " ".repeat(8_192));
    std::fs::write(&converter, &long).unwrap();
    let loader = Loader::new(path, Environment::default());
    let loaded = loader.load().unwrap();
    let (_hangup, hangups) = tokio::sync::watch::channel(0);
    let mut watcher =
        forebay::config::Watcher::new(loader, &loaded, hangups).check_every(Duration::from_millis(20));
    let early = tokio::time::timeout(Duration::from_millis(300), watcher.next()).await;
    assert!(early.is_err(), "nothing changed: {early:?}");
    std::fs::write(&converter, long.replace("\"u\"", "\"user\"")).unwrap();
    let changed = watcher.next().await.unwrap();
    let changes = forebay::config::diff(&loaded.config, &changed.config);
    assert_eq!(changes.to_string(), "imports changed: orders");
}

#[test]
fn all_problems_of_a_file_of_dev_mode_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (file, environment) = (folder.path().join("dev.toml"), Environment::default());
    std::fs::write(folder.path().join("c.json"), CONVERTER).unwrap();
    let import = import(&format!("{NEEDED}{NO_WINDOW}"));
    std::fs::write(&file, format!("[spool]\ndir = \"/x\"\n{import}")).unwrap();
    let (read, unused) = DevFile::read(&file, &environment).unwrap();
    assert_eq!((read.imports.len(), read.destinations.len(), unused), (1, 0, vec!["spool"]));
    let wrong = "[[destination]]\nname = \"laptop\"\ntype = \"htp\"\n";
    std::fs::write(&file, format!("{wrong}{import}parallel = 0\n")).unwrap();
    let error = DevFile::read(&file, &environment).unwrap_err().to_string();
    for name in ["destination.laptop.type", "import.orders.parallel"] {
        assert!(error.contains(name), "{name}: {error}");
    }
}

/// Dev mode has no `[[source]]`, so its own objects were not checked: user files were moved among them.
#[test]
fn dev_mode_keeps_imports_away_from_its_objects() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dev.toml");
    std::fs::write(folder.path().join("c.json"), CONVERTER).unwrap();
    let check = |lines: &str, expected: Option<&str>| {
        let own = import(&format!("bucket = \"{BUCKET}\"\nconverter = \"c.json\"\n{NO_WINDOW}{lines}"));
        std::fs::write(&file, own).unwrap();
        let said = DevFile::read(&file, &Environment::of::<&str, &str>([]))
            .map(drop)
            .map_err(|error| error.to_string());
        match expected {
            None => assert_eq!(said, Ok(()), "{lines}"),
            Some(what) => assert!(said.as_ref().is_err_and(|said| said.contains(what)), "{what}: {said:?}"),
        }
    };
    let among = Some("would put files among the objects of dev mode: choose another prefix");
    check("prefix = \"in/\"\nafter = \"move:segment-logs/csv/\"", among);
    check("prefix = \"in/\"\nrejects = \"s3://forebay/segment-logs/bad/\"", among);
    check("prefix = \"in/\"\njournal = \"s3://forebay/segment-logs/\"", among);
    check("prefix = \"segment-logs/\"", Some("E-IMPORT-LOOP: nothing would be left to import"));
    check("prefix = \"in/\"\nafter = \"move:done/\"\nrejects = \"s3://forebay/bad/\"", None);
    check("", None);
    // Another store may have a bucket of this name.
    check("endpoint_url = \"http://127.0.0.1:1\"\nprefix = \"segment-logs/\"", None);
}

/// The error named `role_arn`, which was set.
#[test]
fn a_name_too_short_for_an_external_id_needs_the_setting() {
    let role = "role_arn = \"arn:aws:iam::123456789012:role/reads\"";
    let found = problems(&format!("[[import]]\nname = \"o\"\n{NEEDED}{NO_WINDOW}{role}\n"));
    let [problem] = &found[..] else { panic!("{found:#?}") };
    assert!(problem.contains("import.o.external_id is not set"), "{problem}");
}

/// Commands about imports demanded `[s3]` and a source in files that dev mode takes without.
#[test]
fn a_file_of_dev_mode_is_a_configuration_for_commands_about_imports() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dev.toml");
    std::fs::write(folder.path().join("c.json"), CONVERTER).unwrap();
    let import = import(&format!("{NEEDED}{NO_WINDOW}"));
    let load = |text: &str, variables: &[(&str, &str)]| {
        std::fs::write(&file, text).unwrap();
        let environment = Environment::of(variables.iter().copied());
        let loader = Loader::new(&file, environment);
        assert!(loader.load().is_err(), "nothing else takes it: {text}");
        loader.with_dev_files().load()
    };
    let dev = load(&format!("[spool]\ndir = \"/x\"\n{import}"), &[]).unwrap();
    assert_eq!((dev.config.imports.len(), dev.config.sources.len()), (1, 0));
    assert_eq!(dev.config.imports[0].source.as_str(), "csv");
    assert_eq!(dev.config.dev_s3.unwrap().as_str(), "http://127.0.0.1:9000");
    assert!(dev.warnings[0].contains("as `forebay dev --config FILE` reads it"), "{:?}", dev.warnings);
    let at = load(&import, &[("FOREBAY_S3_ENDPOINT_URL", "http://127.0.0.1:9100")]).unwrap();
    assert_eq!(at.config.dev_s3.unwrap().as_str(), "http://127.0.0.1:9100");
    for (text, said) in [
        (format!("{import}parallel = 0\n"), "import.orders.parallel"),
        (format!("[s3]\nendpoint_url = \"no\"\n{import}"), "s3.endpoint_url"),
        // More than dev mode uses is a configuration of its own, and what it lacks is named.
        (format!("[s3]\nbucket = \"calls\"\n{import}"), "[[source]]"),
        (format!("[[source]]\nid = \"web\"\nwrite_keys = [\"k\"]\n{import}"), "bucket"),
        // The S3 of dev has no roles.
        (format!("{import}role_arn = \"arn:aws:iam::111122223333:role/reader\"\n"), "bucket"),
    ] {
        let error = load(&text, &[]).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn access_is_set_up_before_the_converter_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.toml");
    std::fs::write(folder.path().join("bad.json"), BAD).unwrap();
    std::fs::write(folder.path().join("c.json"), CONVERTER).unwrap();
    let loaded = |lines: &str| {
        let import = import(&format!("bucket = \"files\"\n{NO_WINDOW}{lines}"));
        std::fs::write(&path, format!("{SMALLEST}{import}")).unwrap();
        Loader::new(&path, Environment::default()).without_converters().load()
    };
    let role = "role_arn = \"arn:aws:iam::111122223333:role/reader\"\n";
    for converter in ["", "converter = \"none.json\"", "converter = \"bad.json\"", "converter = 1"] {
        let import = loaded(&format!("{role}{converter}")).unwrap().config.imports.remove(0);
        assert!(import.converter.is_none(), "{converter}");
        assert_eq!(
            (import.external_id.unwrap().to_string().as_str(), import.has_own_external_id),
            ("orders", false)
        );
    }
    let import = loaded(&format!("{role}external_id = \"orders\"\nconverter = \"c.json\"")).unwrap();
    let import = &import.config.imports[0];
    assert!(import.converter.is_some() && import.has_own_external_id);
    let wrong = loaded("parallel = 0").unwrap_err();
    assert_eq!(wrong.problems.len(), 1, "other problems are still found: {wrong}");
}

#[test]
fn what_imports_write_has_places_of_its_own() {
    let one = |name: &str, lines: &str| {
        format!(
            "[[import]]\nname = {name:?}\nbucket = \"files\"\nprefix = \"{name}/\"\nconverter = \"c.json\"\n{NO_WINDOW}{lines}\n"
        )
    };
    let check = |first: &str, second: &str, expected: Option<&str>| {
        let text = format!("{SMALLEST}{}{}", one("a", first), one("b", second));
        let said = load_with(&text, &[("c.json", CONVERTER)]).map(drop).map_err(|error| error.to_string());
        match expected {
            None => assert_eq!(said, Ok(()), "{first} {second}"),
            Some(what) => assert!(said.as_ref().is_err_and(|said| said.contains(what)), "{what}: {said:?}"),
        }
    };
    let objects = "would put files among the objects of source web: choose another prefix";
    for place in ["segment-logs/", "segment-logs/x/"] {
        check(&format!("rejects = \"s3://b-1/{place}\""), "", Some(objects));
        check(&format!("journal = \"s3://b-1/{place}\""), "", Some(objects));
        let own = format!("after = \"move:{place}\"");
        let text = one("a", &own).replace("\"files\"", "\"b-1\"");
        let said = load_with(&format!("{SMALLEST}{text}"), &[("c.json", CONVERTER)]).map(drop);
        let said = said.map_err(|error| error.to_string());
        assert!(said.as_ref().is_err_and(|said| said.contains(objects)), "{said:?}");
    }
    let (rejects, journal) = ("rejects = \"s3://files/own/\"", "journal = \"s3://files/own/\"");
    check(rejects, rejects, None);
    check(journal, journal, None);
    check(rejects, "journal = \"s3://files/other/\"\nafter = \"move:done/\"", None);
    check("after = \"move:done/\"", "after = \"move:done/\"", None);
    check(
        &format!("{rejects}\n{journal}"),
        "",
        Some("import.a.journal = \"s3://files/own/\": would mix the journal with"),
    );
    check(
        rejects,
        journal,
        Some(
            "import.b.journal = \"s3://files/own/\": would mix the journal with the rejected rows of import a",
        ),
    );
    check(
        rejects,
        "rejects = \"s3://files/own/b/\"",
        Some("would mix the rejected rows with the rejected rows of import a"),
    );
    check(journal, "journal = \"s3://files/\"", Some("would mix the journal with the journal of import a"));
    check(
        rejects,
        "after = \"move:own/b/\"",
        Some("import.b.after = \"move:own/b/\": would mix the moved files with"),
    );
    check("after = \"move:own/b/\"", journal, Some("would mix the journal with the moved files of import a"));
}
