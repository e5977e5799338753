//! `[kafka]` and `spread`. Only builds with the feature know them.

#[cfg(not(feature = "kafka"))]
#[test]
fn a_build_without_the_feature_knows_no_kafka() {
    use super::{SMALLEST, problems};
    let said = problems(&format!("[kafka]\nrole = \"collector\"\n{SMALLEST}spread = 4\n"), &[]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|problem| problem.contains("is unknown")), "{said:?}");
    assert!(!said.iter().any(|problem| problem.contains("the sections are") && problem.contains("kafka,")));
}

#[cfg(feature = "kafka")]
mod with_the_feature {
    use std::time::Duration;

    use forebay::config::{Extra, KafkaRole};

    use crate::config::{SMALLEST, config, load, problems};

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
        check(&SHORTEST.replace("collector", "writer"), &["kafka.role"]);
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
