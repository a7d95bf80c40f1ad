//! Direct or link, for each payload of a message: a pure function of sizes and limits (SPEC `PLAN`).

use crate::envelope::Transport;
use crate::error::{Error, ErrorKind, Result};

/// The sizes of one payload, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanItem {
    /// The raw serialised bytes: what the threshold is compared with.
    pub size: u64,
    /// The length of the payload's object in the message if it travels inside; exact.
    pub direct_len: usize,
    /// The same if it travels by link; an upper bound where the URL is not known yet.
    pub link_len: usize,
}

impl PlanItem {
    /// The sizes of one payload.
    pub fn new(size: u64, direct_len: usize, link_len: usize) -> Self {
        Self { size, direct_len, link_len }
    }

    fn saving(&self) -> usize {
        self.direct_len.saturating_sub(self.link_len)
    }
}

/// What the message must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanLimits {
    /// Payloads of this many raw bytes and more travel by link.
    pub threshold: u64,
    /// The server's `max_payload`, which counts headers; `None` where nobody has announced one.
    pub max_payload: Option<usize>,
    /// The length of the message without its payload objects and the commas between them, headers included.
    pub base_len: usize,
    /// Whether there is a link store.
    pub has_store: bool,
}

impl PlanLimits {
    /// Limits of a message.
    pub fn new(threshold: u64, max_payload: Option<usize>, base_len: usize, has_store: bool) -> Self {
        Self { threshold, max_payload, base_len, has_store }
    }
}

/// Decides the transport of every payload, in order.
///
/// A payload below the threshold is direct, all others are links. While the message is then larger than the server
/// takes, one more direct payload becomes a link: the one that saves most bytes, the first of equals, and never one
/// whose link is not shorter.
///
/// # Errors
/// [`MessageTooLarge`](ErrorKind::MessageTooLarge), with the needed size and the limit, where there is no store for a
/// payload at or above the threshold (limit: the threshold), or where the message does not fit whatever becomes a
/// link (limit: the server's). Nothing has been sent then.
///
/// # Examples
/// ```
/// use natsbridge::plan::{PlanItem, PlanLimits, plan};
/// use natsbridge::Transport::{Direct, Link};
///
/// let limits = PlanLimits::new(1_000_000, Some(1_048_576), 500, true);
/// let items = [PlanItem::new(5, 180, 400), PlanItem::new(900_000, 1_200_180, 400)];
/// assert_eq!(plan(&items, &limits)?, [Direct, Link]); // base64 makes 900,000 bytes too many
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub fn plan(items: &[PlanItem], limits: &PlanLimits) -> Result<Vec<Transport>> {
    let mut transports = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let transport = if item.size < limits.threshold { Transport::Direct } else { Transport::Link };
        if transport == Transport::Link && !limits.has_store {
            return Err(Error::new(
                ErrorKind::MessageTooLarge,
                "the payload reaches the link threshold and no link store is configured; configure one, or raise the threshold",
            )
            .in_payload(index)
            .with_size(item.size, limits.threshold));
        }
        transports.push(transport);
    }
    let Some(max_payload) = limits.max_payload.map(|max| max as u128) else { return Ok(transports) };

    let mut len = message_len(items, &transports, limits.base_len);
    if len > max_payload && !limits.has_store {
        return Err(too_large(
            "the message does not fit the server's limit and no link store is configured",
            len,
            max_payload,
        ));
    }
    // Most saved first; the sort is stable, so the first of equals stays first.
    let mut candidates: Vec<usize> = (0..items.len())
        .filter(|&index| transports[index] == Transport::Direct && items[index].saving() > 0)
        .collect();
    candidates.sort_by_key(|&index| std::cmp::Reverse(items[index].saving()));
    for index in candidates {
        if len <= max_payload {
            break;
        }
        transports[index] = Transport::Link;
        len -= items[index].saving() as u128;
    }
    if len > max_payload {
        return Err(too_large(
            "the message does not fit the server's limit, even with every payload that can be a link as one",
            len,
            max_payload,
        ));
    }
    Ok(transports)
}

/// The length of the message under these transports; wide, so that no sizes can make it overflow.
fn message_len(items: &[PlanItem], transports: &[Transport], base_len: usize) -> u128 {
    let commas = items.len().saturating_sub(1);
    let entries = items.iter().zip(transports).map(|(item, transport)| match transport {
        Transport::Direct => item.direct_len as u128,
        Transport::Link => item.link_len as u128,
    });
    base_len as u128 + commas as u128 + entries.sum::<u128>()
}

fn too_large(what: &'static str, len: u128, max_payload: u128) -> Error {
    let [len, max_payload] = [len, max_payload].map(|len| u64::try_from(len).unwrap_or(u64::MAX));
    Error::new(ErrorKind::MessageTooLarge, what).with_size(len, max_payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Transport::{Direct, Link};

    fn item(size: u64) -> PlanItem {
        PlanItem::new(size, 180 + crate::base64::encoded_len(size as usize), 400)
    }

    fn planned(sizes: &[u64], limits: &PlanLimits) -> Result<Vec<Transport>> {
        plan(&sizes.iter().copied().map(item).collect::<Vec<_>>(), limits)
    }

    const STORE: PlanLimits =
        PlanLimits { threshold: 1_000_000, max_payload: Some(1_048_576), base_len: 500, has_store: true };

    #[test]
    fn the_threshold_is_compared_with_raw_bytes() {
        let roomy = PlanLimits { max_payload: Some(8_000_000), ..STORE };
        assert_eq!(planned(&[999_999, 1_000_000, 0], &roomy).unwrap(), [Direct, Link, Direct]);
        let unknown = PlanLimits { max_payload: None, ..STORE };
        assert_eq!(planned(&[999_999], &unknown).unwrap(), [Direct]);
    }

    #[test]
    fn the_payload_that_saves_most_becomes_a_link_first_and_the_first_of_equals() {
        assert_eq!(planned(&[400_000, 500_000, 10], &STORE).unwrap(), [Direct, Link, Direct]);
        assert_eq!(planned(&[500_000, 500_000, 10], &STORE).unwrap(), [Link, Direct, Direct]);
        assert_eq!(planned(&[500_000; 3], &STORE).unwrap(), [Link, Link, Direct]);
    }

    #[test]
    fn the_last_byte_decides() {
        let max = 500 + 180 + 4 * 1000;
        let limits = PlanLimits { max_payload: Some(max), ..STORE };
        assert_eq!(planned(&[3000], &limits).unwrap(), [Direct]);
        assert_eq!(planned(&[3001], &limits).unwrap(), [Link]);
    }

    #[test]
    fn without_a_store_a_message_fails_with_needed_and_limit() {
        let none = PlanLimits { has_store: false, ..STORE };
        let error = planned(&[5, 1_000_000], &none).unwrap_err();
        assert_eq!((error.kind(), error.payload()), (ErrorKind::MessageTooLarge, Some(1)));
        assert_eq!((error.needed(), error.limit()), (Some(1_000_000), Some(1_000_000)));
        let error = planned(&[900_000], &none).unwrap_err();
        assert_eq!((error.needed(), error.limit()), (Some(500 + 180 + 1_200_000), Some(1_048_576)));
        assert!(planned(&[700_000], &none).is_ok());
    }

    #[test]
    fn too_many_payloads_do_not_fit_even_as_links() {
        let error = planned(&vec![10; 10_000], &STORE).unwrap_err();
        assert_eq!(error.needed(), Some(500 + 9_999 + 10_000 * 196));
        let error = planned(&vec![1000; 10_000], &STORE).unwrap_err();
        assert_eq!(error.needed(), Some(500 + 9_999 + 10_000 * 400));
    }

    #[test]
    fn no_sizes_overflow() {
        let huge = PlanItem::new(5, usize::MAX, 10);
        assert_eq!(plan(&[huge, huge], &STORE).unwrap(), [Link, Link]);
        let none = PlanLimits { has_store: false, ..STORE };
        assert_eq!(plan(&[huge, huge], &none).unwrap_err().needed(), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn plans_fit_and_turn_no_more_into_links_than_they_must(
            sizes in prop::collection::vec(0u64..3000, 0..12),
            threshold in 1u64..4000,
            max in 0usize..20_000,
        ) {
            let limits = PlanLimits::new(threshold, Some(max), 500, true);
            let items: Vec<_> = sizes.iter().copied().map(item).collect();
            match plan(&items, &limits) {
                Ok(transports) => {
                    prop_assert_eq!(transports.len(), items.len());
                    let len = message_len(&items, &transports, 500);
                    prop_assert!(len <= max as u128);
                    let mut promoted = Vec::new();
                    for (index, item) in items.iter().enumerate() {
                        if item.size >= threshold {
                            prop_assert_eq!(transports[index], Link);
                        } else if transports[index] == Link {
                            promoted.push(index);
                        }
                    }
                    // Taking back the one that saves least, the message no longer fits; and nobody left behind saves more.
                    if let Some(&last) = promoted.iter().min_by_key(|&&index| items[index].saving()) {
                        prop_assert!(len + items[last].saving() as u128 > max as u128);
                        for (index, transport) in transports.iter().enumerate() {
                            if *transport == Direct {
                                prop_assert!(items[index].saving() <= items[last].saving());
                            }
                        }
                    }
                }
                Err(error) => {
                    let all: Vec<_> = items.iter()
                        .map(|item| if item.size >= threshold || item.saving() > 0 { Link } else { Direct })
                        .collect();
                    let least = message_len(&items, &all, 500);
                    prop_assert!(least > max as u128);
                    prop_assert_eq!(error.needed(), Some(least as u64));
                }
            }
        }
    }
}
