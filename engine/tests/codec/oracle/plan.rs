//! Direct or link by SPEC `PLAN`: one promotion at a time, everything measured afresh each time.

/// Raw size, length as a direct entry, length as a link entry.
pub(crate) type Item = (u64, usize, usize);

/// For each payload whether it is a link; or what was needed and what was allowed.
pub(crate) fn plan(
    items: &[Item],
    threshold: u64,
    max_payload: Option<usize>,
    base_len: usize,
    has_store: bool,
) -> Result<Vec<bool>, (u128, u128)> {
    let mut links: Vec<bool> = items.iter().map(|item| item.0 >= threshold).collect();
    if let Some(at) = links.iter().position(|link| *link)
        && !has_store
    {
        return Err((u128::from(items[at].0), u128::from(threshold)));
    }
    let Some(max) = max_payload else { return Ok(links) };
    let len = |links: &[bool]| {
        let entries = items.iter().zip(links).map(|(item, link)| if *link { item.2 } else { item.1 } as u128);
        base_len as u128 + items.len().saturating_sub(1) as u128 + entries.sum::<u128>()
    };
    while len(&links) > max as u128 {
        let mut best: Option<(u128, usize)> = None;
        for at in (0..items.len()).filter(|&at| !links[at] && has_store) {
            let mut with = links.clone();
            with[at] = true;
            let saved = len(&links).saturating_sub(len(&with));
            if saved > 0 && best.is_none_or(|(most, _)| saved > most) {
                best = Some((saved, at));
            }
        }
        match best {
            Some((_, at)) => links[at] = true,
            None => return Err((len(&links), max as u128)),
        }
    }
    Ok(links)
}
