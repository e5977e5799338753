//! Converter files as Amplitude's users have them, unchanged.

use super::*;

#[test]
fn the_example_of_the_public_reference_converts_its_row() {
    let text = r#"{
        "config_name": ["Event sample converter"],
        "converterConfig": {
            "fileType": "parquet", "compressionType": "none",
            "convertToAmplitudeFunc": {
                "event_type": "action", "user_id": "user", "device_id": "device",
                "event_properties": {"business_id_encid": "business_id"},
                "user_properties": {"utm_channel_category": "utm_channel_c", "utm_channel_source": "utm_channel_s"},
                "time": "epoch", "session_id": "session_id", "app_version": "app_version"
            }
        },
        "keyValidatorConfig": {"filterPattern": "folder1/folder2/ds=202011[1-2][0-9]/.*\\.parquet"}
    }"#;
    let converter =
        Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 32 * 1_024).unwrap();
    let columns: Vec<&str> = converter.columns().names().collect();
    assert_eq!(
        columns,
        [
            "action", "user", "device", "business_id", "utm_channel_c", "utm_channel_s", "epoch",
            "session_id", "app_version"
        ]
    );
    let row = r#"{"action":"watch tv","user":"john","device":"host1","business_id":"123",
        "utm_channel_c":"discovery","utm_channel_s":"network","epoch":"1645066434189","session_id":"1",
        "app_version":"1","not_needed":{"a":[1]}}"#;
    let expected = concat!(
        r#"{"type":"track","messageId":"imp_k_7","userId":"john","anonymousId":"host1","#,
        r#""timestamp":"2022-02-17T02:53:54.189Z","event":"watch tv","#,
        r#""properties":{"business_id_encid":"123"},"#,
        r#""context":{"sessionId":1,"app":{"version":"1"},"device":{"id":"host1"},"#,
        r#""traits":{"utm_channel_category":"discovery","utm_channel_source":"network"}}}"#
    );
    let (outcome, calls) = converted(&converter, row);
    assert_eq!(calls, [expected]);
    assert_eq!(outcome, Outcome::Calls { count: 1, key: None });
}

/// Operators that a published converter uses: an empty device is no device, and fields without a place are
/// listed.
#[test]
fn a_published_converter_of_an_export_works() {
    let fields = r#"{
        "insert_id": "$insert_id", "adid": "adid", "city": "city", "carrier": "device_carrier",
        "device_id": ["ifelse", ["eq", "device_id", ["value", ""]], ["value", null], "device_id"],
        "device_type": "device_type", "display_name": "event_type", "library": "library",
        "event_properties": "event_properties", "groups": "groups", "group_properties": "group_properties",
        "time": ["iso_time_to_ms", "event_time"], "event_type": "event_type", "ip": "ip_address",
        "user_id": "user_id", "location_lat": "location_lat"
    }"#;
    let converter = converter(fields, DataType::Event, Strategy::AppendOnly);
    assert_eq!(converter.unused_fields(), ["device_type", "display_name", "library"]);
    let row = r#"{"$insert_id":"i-1","adid":null,"city":"Łódź","device_carrier":"o2","device_id":"",
        "event_properties":{"n":1.10},"groups":{"org":"A"},"group_properties":{},"event_type":"open",
        "event_time":"2023-04-05 06:07:08.900000","ip_address":"$remote","user_id":"u","location_lat":51.75}"#;
    let (outcome, calls) = converted(&converter, row);
    let Outcome::Calls { count: 1, key: Some(key) } = outcome else { panic!("{outcome:?}") };
    let id = data_encoding::BASE32_NOPAD.encode(&key.to_be_bytes()).to_ascii_lowercase();
    let expected = format!(
        concat!(
            r#"{{"type":"track","messageId":"amp_{}","userId":"u","timestamp":"2023-04-05T06:07:08.900Z","#,
            r#""event":"open","properties":{{"n":1.10}},"context":{{"insertId":"i-1","groups":{{"org":"A"}},"#,
            r#""device":{{"adid":null}},"network":{{"carrier":"o2"}},"#,
            r#""location":{{"city":"Łódź","latitude":51.75}}}}}}"#
        ),
        id
    );
    assert_eq!(calls, [expected]);
}

/// The published example of a flag: some kinds of event are skipped.
#[test]
fn the_example_of_a_flag_skips_its_events() {
    let text = r#"{"converterConfig": {"fileType": "json", "ignoreEventFlag": "$ignore",
        "convertToAmplitudeFunc": {"event_type": "event_type", "user_id": "user_id",
            "$ignore": ["or", ["equals", ["path", "event_type"], ["value", "page_view"]],
                              ["equals", ["path", "event_type"], ["value", "session_start"]]]}}}"#;
    let converter =
        Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 32 * 1_024).unwrap();
    let outcome =
        |event: &str| converted(&converter, &format!(r#"{{"event_type":"{event}","user_id":"u"}}"#)).0;
    assert_eq!(outcome("page_view"), Outcome::Skipped);
    assert_eq!(outcome("session_start"), Outcome::Skipped);
    assert_eq!(outcome("buy"), Outcome::Calls { count: 1, key: None });
}
