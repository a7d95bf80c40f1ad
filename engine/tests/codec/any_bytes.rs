//! Every property of `properties` under random bytes; the fuzz targets try the same for longer.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::{oracle, properties, source};

/// So many cases, unless `PROPTEST_CASES` asks for another number.
fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(cases);
    // What a random run finds becomes a case of a table or a fuzz seed, not a file of opaque numbers.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn messages_and_damaged_messages_are_read_as_the_oracle_reads_them(
        bytes in prop::collection::vec(any::<u8>(), 0..1200),
    ) {
        properties::envelope_structured(&bytes);
    }

    #[test]
    fn json_like_noise_is_read_as_the_oracle_reads_it(
        text in r#"(\{"payloads":)?[\[\]{}",:0-9eE.\-\\untrfals \n\u{7f}é]{0,30}\}?"#,
    ) {
        properties::envelope_differential(text.as_bytes());
        properties::dictionary(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn every_way_to_read_a_message_gives_the_same(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        properties::envelope_paths(&bytes);
    }

    #[test]
    fn any_fields_are_written_as_the_oracle_writes_them_and_read_back(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        properties::envelope_round_trip(&bytes);
    }

    #[test]
    fn any_bytes_are_base64_to_all_decoders_or_to_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        properties::base64_split(&bytes);
    }

    #[test]
    fn dictionaries_mean_what_the_oracle_makes_of_them(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let source = &mut source::Source::new(&bytes);
        let depth = source.below(4);
        let mut text = source::value(source, depth).into_bytes();
        properties::dictionary(&text);
        source::mutate(source, &mut text);
        properties::dictionary(&text);
    }

    #[test]
    fn numbers_mean_the_nearest_value(text in r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?") {
        properties::dictionary(text.as_bytes());
        properties::envelope_differential(
            format!(r#"{{"payloads":[{{"type":"text","transport":"direct","data":"","size":{text}}}]}}"#).as_bytes(),
        );
    }

    #[test]
    fn plans_are_those_of_the_oracle(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        properties::plan(&bytes);
    }
}

/// The properties would hold for a generator of rubbish too.
#[test]
fn the_generator_makes_messages_worth_reading() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut accepted = 0;
    let mut readable = 0;
    let mut payloads = 0;
    for _ in 0..1000 {
        let tree = prop::collection::vec(any::<u8>(), 0..1200).new_tree(&mut runner).unwrap();
        let message = source::message(&mut source::Source::new(&tree.current()));
        if let Some(message) = oracle::envelope::read(message.as_bytes()) {
            accepted += 1;
            payloads += message.payloads.len();
            readable += message.payloads.iter().filter(|payload| payload.data.is_some()).count();
        }
    }
    assert!((500..950).contains(&accepted), "{accepted} of 1000 accepted");
    assert!((payloads / 4..payloads).contains(&readable), "{readable} of {payloads} payloads readable");
}

/// The ways to read a message would agree on rubbish too.
#[test]
fn the_generator_makes_messages_in_order_that_are_decoded_while_they_are_read() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut accepted, mut payloads, mut early) = (0, 0, 0);
    for _ in 0..1000 {
        let tree = prop::collection::vec(any::<u8>(), 0..1500).new_tree(&mut runner).unwrap();
        let message = source::ordered_message(&mut source::Source::new(&tree.current()));
        let mut out = Vec::new();
        let limits = natsbridge::Limits::default();
        if let Ok(envelope) = natsbridge::Envelope::decode_into_vec(message.into_bytes(), &limits, &mut out) {
            accepted += 1;
            for payload in envelope.payloads() {
                payloads += 1;
                let decoded = payload.bytes_in(&out);
                early += usize::from(matches!(decoded, Ok(std::borrow::Cow::Borrowed(_))));
            }
        }
    }
    assert!((500..980).contains(&accepted), "{accepted} of 1000 accepted");
    assert!(
        (payloads / 4..payloads * 19 / 20).contains(&early),
        "{early} of {payloads} payloads decoded early"
    );
}

#[test]
fn every_property_holds_for_nothing_at_all() {
    for (name, property) in properties::ALL {
        assert!(!name.is_empty());
        property(b"");
        property(b"\0");
    }
}
