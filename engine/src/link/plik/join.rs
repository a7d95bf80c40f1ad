//! Many transfers at once, but not too many.

use std::future::poll_fn;
use std::task::Poll;

use crate::link::store::BoxFuture;

/// Runs futures, at most `limit` at once, and returns their results in order.
pub(super) async fn join_in_order<'a, T>(
    futures: impl Iterator<Item = BoxFuture<'a, T>> + Send,
    limit: usize,
) -> Vec<T> {
    let mut waiting = futures.enumerate();
    let mut running: Vec<(usize, BoxFuture<'a, T>)> = Vec::new();
    let mut results: Vec<Option<T>> = Vec::new();
    poll_fn(|cx| {
        loop {
            while running.len() < limit.max(1)
                && let Some(next) = waiting.next()
            {
                results.push(None);
                running.push(next);
            }
            let before = running.len();
            running.retain_mut(|(index, future)| match future.as_mut().poll(cx) {
                Poll::Ready(value) => {
                    results[*index] = Some(value);
                    false
                }
                Poll::Pending => true,
            });
            match running.len() {
                0 if waiting.size_hint().1 == Some(0) || before == 0 => return Poll::Ready(()),
                // There is room again.
                now if now < before => {}
                _ => return Poll::Pending,
            }
        }
    })
    .await;
    // Every future has run to its end, so no result is missing.
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn futures_run_in_parallel_and_answer_in_order() {
        for (count, limit, rounds) in [(0, 3, 0), (1, 3, 1), (7, 3, 3), (7, 0, 7), (3, 100, 1)] {
            let start = tokio::time::Instant::now();
            let futures = (0..count).map(|n| {
                Box::pin(async move {
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    n
                }) as BoxFuture<'_, _>
            });
            assert_eq!(join_in_order(futures, limit).await, (0..count).collect::<Vec<_>>());
            assert_eq!(start.elapsed().as_secs(), rounds, "{count} with {limit} at once");
        }
    }
}
