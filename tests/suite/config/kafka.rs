//! `[kafka]` and `spread`. Only builds with the feature know them.

#[cfg(not(feature = "kafka"))]
#[test]
fn a_build_without_the_feature_knows_no_kafka() {
    use super::{SMALLEST, problems};
    let said = problems(&format!("[kafka]\nrole = \"collector\"\n{SMALLEST}spread = 4\n"), &[]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().any(|problem| problem.contains("build Forebay with the feature kafka")), "{said:?}");
    assert!(said.iter().any(|problem| problem.contains("spread is unknown")), "{said:?}");
}

#[cfg(feature = "kafka")]
mod with_the_feature {
    use std::time::Duration;

    use forebay::config::{Extra, KafkaRole};

    use crate::config::imports::CONVERTER;
    use crate::config::{SMALLEST, config, load, load_with, problems};

    const SHORTEST: &str = "[kafka]\nrole = \"collector\"\nbrokers = [\"kafka-1:9092\"]\n";

    #[test]
    fn names_of_topics_and_group_follow_from_that_of_the_log() {
        let read = config(&format!("{SHORTEST}{SMALLEST}"));
        let kafka = read.kafka.unwrap();
        assert_eq!((kafka.role, kafka.brokers.as_str()), (KafkaRole::Collector, "kafka-1:9092"));
        assert_eq!((kafka.name.as_str(), kafka.answer_within), ("forebay", Duration::from_secs(15)));
        let names = [kafka.topic, kafka.notes_topic, kafka.group];
        assert_eq!(names, ["forebay-calls", "forebay-notes", "forebay-writers"]);
        assert_eq!((kafka.extra, read.sources[0].spread), (Extra::default(), 1));
        assert_eq!(config(SMALLEST).kafka, None);
    }

    #[test]
    fn everything_can_be_set_and_secrets_are_not_shown() {
        let text = "[kafka]\nrole = \"collector\"\nbrokers = [\"a:1\", \"[::1]:2\"]\nname = \"shop\"\ntopic = \"c\"\n\
             notes_topic = \"n\"\ngroup = \"g\"\nanswer_within = \"3s\"\n\
             extra = { \"sasl.password\" = \"env:PASSWORD\", \"client.rack\" = \"a\" }\n";
        let loaded = load(&format!("{text}{SMALLEST}spread = 4\n"), &[("PASSWORD", "hush")]).unwrap();
        let kafka = loaded.config.kafka.clone().unwrap();
        assert_eq!((kafka.brokers.as_str(), kafka.answer_within), ("a:1,[::1]:2", Duration::from_secs(3)));
        assert!(kafka.extra.0.contains(&("sasl.password".to_owned(), "hush".to_owned())));
        assert_eq!(loaded.config.sources[0].spread, 4);
        assert!(!format!("{:?}", loaded.config).contains("hush"));
        let set = [("FOREBAY_KAFKA_BROKERS", "b:1,c:2")];
        assert_eq!(
            load(&format!("{SHORTEST}{SMALLEST}"), &set).unwrap().config.kafka.unwrap().brokers,
            "b:1,c:2"
        );
    }

    const WRITER: &str =
        "[kafka]\nrole = \"writer\"\nbrokers = [\"kafka-1:9092\"]\ncache_dir = \"/var/cache/forebay\"\n";
    const OF_WEB: &str = "[[source]]\nid = \"web\"\n";
    const IN_BUCKET: &str = "[s3]\nbucket = \"b-1\"\n";

    #[test]
    fn a_collector_needs_no_bucket() {
        let read = config(&format!("{SHORTEST}{OF_WEB}write_keys = [\"k\"]\n"));
        assert_eq!(read.sources[0].location, None);
        assert_eq!(read.locations().count(), 0);
        // Whoever shares one file with writers has them.
        let shared = config(&format!("{SHORTEST}{IN_BUCKET}{OF_WEB}write_keys = [\"k\"]\n"));
        assert_eq!(shared.locations().count(), 1);
        let wrong = problems(&format!("{SHORTEST}[s3]\nbucket = \"B\"\n{OF_WEB}write_keys = [\"k\"]\n"), &[]);
        assert!(wrong.len() == 1 && wrong[0].contains("s3.bucket"), "{wrong:?}");
    }

    #[test]
    fn a_writer_needs_a_bucket_and_a_folder_but_no_write_keys() {
        let read = config(&format!("{WRITER}{IN_BUCKET}{OF_WEB}"));
        let kafka = read.kafka.clone().unwrap();
        assert_eq!((kafka.role, kafka.role.name()), (KafkaRole::Writer, "writer"));
        assert_eq!(kafka.cache_dir.unwrap().to_str(), Some("/var/cache/forebay"));
        assert_eq!((kafka.cache_bytes, kafka.day_grace), (50_000_000_000, Duration::from_secs(120)));
        assert_eq!((kafka.instance, read.flush.on_shutdown), (None, false));
        assert!(read.sources[0].write_keys.is_empty() && read.sources[0].location.is_some());
        let all = "cache_bytes = \"1 GB\"\nday_grace = \"5m\"\ninstance = \"writer-1\"\n";
        let read = config(&format!("{WRITER}{all}[flush]\non_shutdown = true\n{IN_BUCKET}{OF_WEB}"));
        let kafka = read.kafka.unwrap();
        assert_eq!((kafka.cache_bytes, kafka.day_grace), (1_000_000_000, Duration::from_secs(300)));
        assert_eq!((kafka.instance.as_deref(), read.flush.on_shutdown), (Some("writer-1"), true));
        let without = problems(&format!("{WRITER}{OF_WEB}"), &[]);
        assert!(without.len() == 1 && without[0].contains("s3.bucket is not set"), "{without:?}");
    }

    #[test]
    fn a_writer_reads_no_write_key_of_a_file_that_it_shares_with_collectors() {
        let text = format!("{WRITER}{IN_BUCKET}{OF_WEB}write_keys = [\"env:NOT_HERE\"]\n");
        assert!(config(&text).sources[0].write_keys.is_empty());
        let role = [("FOREBAY_KAFKA_ROLE", "collector")];
        let said = problems(&text, &role);
        assert!(said.len() == 1 && said[0].contains("NOT_HERE"), "{said:?}");
    }

    #[test]
    fn neither_role_has_destinations_or_imports() {
        let import = "[[import]]\nname = \"old\"\nsource = \"web\"\nbucket = \"files\"\nconverter = \"c.json\"\n\
             insert_id_window = \"0 s\"\n";
        let beside = "[[destination]]\nname = \"crm\"\ntype = \"http\"\nurl = \"https://crm.example.com/\"\n";
        for (role, with) in [("collector", SHORTEST), ("writer", WRITER)] {
            let text = format!("{with}{IN_BUCKET}{OF_WEB}write_keys = [\"k\"]\n{import}{beside}");
            let loaded = load_with(&text, &[("c.json", CONVERTER)]).map(|loaded| loaded.config);
            let said: Vec<String> = loaded.unwrap_err().problems.iter().map(ToString::to_string).collect();
            let refused = format!("is not possible with kafka.role = \"{role}\"");
            assert_eq!(said.len(), 2, "{said:?}");
            assert!(said.iter().all(|one| one.contains(&refused)), "{said:?}");
        }
    }

    fn check(lines: &str, expected: &[&str]) {
        let said = problems(&format!("{lines}{SMALLEST}"), &[]);
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_expected() {
        check("[kafka]\nname = \"shop\"\n", &["kafka.role is not set", "kafka.brokers is not set"]);
        let with = |lines: &str| format!("{SHORTEST}{lines}\n");
        check(
            &SHORTEST.replace("collector", "both"),
            &["kafka.role = \"both\": expected \"collector\" or \"writer\""],
        );
        check(&SHORTEST.replace("collector", "writer"), &["kafka.cache_dir is not set"]);
        check(&with("cache_bytes = \"1 MB\""), &["kafka.cache_bytes"]);
        check(&with("day_grace = \"1s\""), &["kafka.day_grace"]);
        check(&with("instance = \"a b\""), &["1 to 100 of A-Z a-z 0-9 . _ -"]);
        check(&with("extra = { \"group.instance.id\" = \"a\" }"), &["which Forebay sets"]);
        check(&SHORTEST.replace(":9092", ""), &["expected host:port"]);
        check(&SHORTEST.replace("[\"kafka-1:9092\"]", "[]"), &["at least one address"]);
        check(&with("name = \"Shop\""), &["1 to 26 of a-z 0-9 -"]);
        check(&with("topic = \"a b\""), &["1 to 249"]);
        check(&with("notes_topic = \"forebay-calls\""), &["is the topic of the calls"]);
        check(&with("answer_within = \"1m\""), &["kafka.answer_within"]);
        check(&with("extra = { acks = \"0\" }"), &["which Forebay sets"]);
        check(&with("extra = { \"client.rack\" = 7 }"), &["a table of texts"]);
        check(&with("cache = 1"), &["kafka.cache is unknown"]);
        let source = problems(&format!("{SMALLEST}spread = 0\n"), &[]);
        assert!(source[0].contains("a whole number from 1 to 1024"), "{source:?}");
    }

    #[test]
    fn a_change_of_spread_is_put_into_force_and_the_rest_waits_for_a_restart() {
        use forebay::config::diff;
        let before = config(&format!("{SHORTEST}{SMALLEST}"));
        let spread = config(&format!("{SHORTEST}{SMALLEST}spread = 4\n"));
        let changes = diff(&before, &spread);
        assert_eq!(changes.to_string(), "sources with a changed spread: web");
        let renamed = config(&format!("{SHORTEST}name = \"shop\"\n{SMALLEST}"));
        assert_eq!(diff(&before, &renamed).to_string(), "taking effect at the next start: kafka");
    }
}
