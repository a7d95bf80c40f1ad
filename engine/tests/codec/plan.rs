//! Direct or link, with real messages (SPEC `PLAN`); the rules are tried against the oracle in `any_bytes`.

use natsbridge::envelope::payload_entry_len;
use natsbridge::plan::{PlanItem, PlanLimits, plan};
use natsbridge::{Data, Dialect, ErrorKind, MessageFields, PayloadFields, Transport, encoded_len};

#[test]
fn the_planned_length_is_the_encoded_length() {
    let fields = MessageFields::default();
    let bytes = [vec![1; 700], vec![2; 1], vec![3; 0]];
    let payloads: Vec<_> =
        bytes.iter().map(|bytes| PayloadFields::new("n", "binary", Data::Bytes(bytes))).collect();
    let items: Vec<_> = payloads
        .iter()
        .map(|payload| PlanItem::new(payload.data.size(), payload_entry_len(Dialect::Camel, payload), 2000))
        .collect();
    let len = encoded_len(Dialect::Camel, &fields, &payloads);
    let base = encoded_len(Dialect::Camel, &fields, &[]);
    let limits = |max| PlanLimits::new(1_000_000, Some(max), base, true);
    assert_eq!(plan(&items, &limits(len)).unwrap(), [Transport::Direct; 3]);
    // One byte less, and one would have to become a link, of which each is longer than what it stands for.
    let error = plan(&items, &limits(len - 1)).unwrap_err();
    assert_eq!(
        (error.kind(), error.needed(), error.limit()),
        (ErrorKind::MessageTooLarge, Some(len as u64), Some(len as u64 - 1))
    );
}

#[test]
fn each_dialect_has_its_threshold() {
    assert_eq!(
        (Dialect::Camel.default_threshold(), Dialect::Snake.default_threshold()),
        (1_000_000, 500_000)
    );
    for dialect in [Dialect::Camel, Dialect::Snake] {
        let threshold = dialect.default_threshold();
        let limits = PlanLimits::new(threshold, None, 500, true);
        let items = [PlanItem::new(threshold - 1, 9, 9), PlanItem::new(threshold, 9, 9)];
        assert_eq!(plan(&items, &limits).unwrap(), [Transport::Direct, Transport::Link]);
    }
}
