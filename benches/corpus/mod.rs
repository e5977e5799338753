//! Realistic calls from a seed: the same bytes on every run and machine.
//!
//! They resemble the captured calls of `tests/fixtures/captures`. Seven of ten come from a browser, with what
//! its library adds about the page; the rest come from a server, with little context. Six of ten are track
//! calls. Their properties are those of a shop, and some text is not ASCII. `cargo bench --bench load --
//! --corpus` prints statistics of both.

/// A small generator of random numbers (splitmix64), so that a corpus depends only on its seed.
#[derive(Debug)]
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    /// The next 64 random bits.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One of `choices`.
    fn pick<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        let index = self.below(choices.len() as u64);
        usize::try_from(index).ok().and_then(|index| choices.get(index)).copied().unwrap_or_default()
    }

    fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }
}

const EVENTS: [&str; 8] = [
    "Order Completed", "Product Viewed", "Product Added", "Checkout Started", "Signed Up",
    "Artikel hinzugefügt", "Search Performed", "Video Playback Paused",
];
const PLACES: [&str; 5] = ["/", "/cart", "/products/blue-shoes", "/checkout/payment", "/account/settings"];
const WORDS: [&str; 6] =
    ["Blue shoes", "Größe 42", "a \\\"quoted\\\" name", "naïve café", "line\\nbreak", "plain"];

/// Each kind is listed as often as it occurs.
const KINDS: [&str; 20] = [
    "track", "track", "track", "track", "track", "track", "track", "track", "track", "track", "track",
    "track", "page", "page", "page", "identify", "identify", "group", "screen", "alias",
];

/// One call, as JSON.
pub(crate) fn call(random: &mut Seeded) -> String {
    if random.below(10) < 7 { of_browser(random) } else { of_server(random) }
}

fn of_browser(random: &mut Seeded) -> String {
    let kind = random.pick(&KINDS);
    format!(
        concat!(
            r#"{{"timestamp":"{}","integrations":{{"Segment.io":true}},{}"type":"{}",{},"#,
            r#""messageId":"ajs-next-17951558{:05}-{}","userId":"user-{:06}","anonymousId":"{}","#,
            r#""writeKey":"WRITEKEY","_metadata":{{"bundled":["Segment.io"],"unbundled":[],"bundledIds":[]}}}}"#,
        ),
        timestamp(random),
        members(random, kind),
        kind,
        context_of_browser(random),
        random.below(100_000),
        id(random),
        random.below(1_000_000),
        id(random),
    )
}

fn of_server(random: &mut Seeded) -> String {
    let kind = random.pick(&KINDS);
    format!(
        concat!(
            r#"{{"timestamp":"{}","integrations":{{}},{}"type":"{}","#,
            r#""context":{{"library":{{"name":"@segment/analytics-node","version":"3.1.0"}}}},"userId":"user-{:06}","#,
            r#""messageId":"node-next-17951558{:05}-{}","_metadata":{{"nodeVersion":"v20.20.2","jsRuntime":"node"}}}}"#,
        ),
        timestamp(random),
        members(random, kind),
        kind,
        random.below(1_000_000),
        random.below(100_000),
        id(random),
    )
}

/// An envelope with `calls` calls.
pub(crate) fn envelope(random: &mut Seeded, calls: usize) -> String {
    let calls = array(random, calls);
    format!(r#"{{"batch":{calls},"writeKey":"WRITEKEY","sentAt":"2026-11-20T06:24:01.018Z"}}"#)
}

/// A JSON array with `calls` calls.
pub(crate) fn array(random: &mut Seeded, calls: usize) -> String {
    let calls: Vec<String> = (0..calls).map(|_| call(random)).collect();
    format!("[{}]", calls.join(","))
}

fn id(random: &mut Seeded) -> String {
    let (high, low) = (random.draw(), random.draw());
    format!(
        "{:08x}-{:04x}-4{:03x}-9{:03x}-{:012x}",
        high >> 32,
        high & 0xFFFF,
        low >> 52,
        low & 0xFFF,
        low >> 16
    )
}

fn timestamp(random: &mut Seeded) -> String {
    format!("2026-11-20T06:23:{:02}.{:03}Z", random.below(60), random.below(1_000))
}

/// The members that only calls of this kind have.
fn members(random: &mut Seeded, kind: &str) -> String {
    match kind {
        "track" => track(random),
        "identify" => traits(random),
        "group" => format!(r#""groupId":"group-{:04}",{}"#, random.below(10_000), traits(random)),
        "alias" => format!(r#""previousId":"{}","#, id(random)),
        _ => page(random),
    }
}

fn track(random: &mut Seeded) -> String {
    format!(
        concat!(
            r#""event":"{}","properties":{{"order_id":"{}","total":{}.{:02},"currency":"EUR","coupon":null,"#,
            r#""repeat":{},"products":[{{"product_id":"{}","name":"{}","price":{}.5,"quantity":{}}}]}},"#,
        ),
        random.pick(&EVENTS),
        random.below(1_000_000_000),
        random.below(500),
        random.below(100),
        random.pick(&["true", "false"]),
        random.below(100_000),
        random.pick(&WORDS),
        random.below(100),
        random.below(5),
    )
}

fn traits(random: &mut Seeded) -> String {
    format!(
        r#""traits":{{"email":"user{}@example.com","name":"{}","plan":"{}","logins":{},"created_at":"2024-02-0{}"}},"#,
        random.below(100_000),
        random.pick(&WORDS),
        random.pick(&["free", "pro", "enterprise"]),
        random.below(5_000),
        random.below(9) + 1,
    )
}

fn page(random: &mut Seeded) -> String {
    let place = random.pick(&PLACES);
    format!(
        r#""name":"Shop","properties":{{"path":"{place}","referrer":"https://www.example.org/","title":"{}","url":"https://shop.example.com{place}"}},"#,
        random.pick(&WORDS),
    )
}

fn context_of_browser(random: &mut Seeded) -> String {
    let place = random.pick(&PLACES);
    let campaign = random.pick(&["news", "spring", "retargeting"]);
    let number = random.below(20);
    format!(
        concat!(
            r#""context":{{"page":{{"path":"{}","referrer":"https://www.example.org/","search":"?utm_source={}&utm_campaign=c{}","#,
            r#""title":"{}","url":"https://shop.example.com{}?utm_source={}"}},"#,
            r#""userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36","#,
            r#""locale":"{}","library":{{"name":"analytics.js","version":"npm:next-1.84.3"}},"#,
            r#""campaign":{{"source":"{}","name":"c{}"}},"timezone":"Europe/Berlin"}}"#,
        ),
        place,
        campaign,
        number,
        random.pick(&WORDS),
        place,
        campaign,
        110 + random.below(20),
        random.pick(&["en-US", "de-DE", "fr-FR"]),
        campaign,
        number,
    )
}
