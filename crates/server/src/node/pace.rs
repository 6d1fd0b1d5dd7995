//! How many things are done evenly over a time: [`spread`].

use std::time::Duration;

use tokio::time::Instant;

/// The runtime's timer does not know a shorter time, and a wait for less takes as long.
const TICK: Duration = Duration::from_millis(1);
/// So many are done in a row before other tasks have their turn.
const IN_A_ROW_MAX: usize = 64;
/// A last wait may end so late, which is nobody's fault and worth no word.
pub(crate) const LATENESS_MAX: Duration = Duration::from_millis(100);

/// Calls `act` for each item, each in its own share of the `budget` and there at a moment that `jitter`
/// says, from 0 to 1. An item that is late waits for nothing, and when the budget is over no item waits for
/// other tasks either. Gives how long it took.
pub(crate) async fn spread<T>(
    items: Vec<T>,
    budget: Duration,
    jitter: impl Fn() -> f64,
    act: impl Fn(T),
) -> Duration {
    let began = Instant::now();
    let share = budget.as_secs_f64() / items.len().max(1) as f64;
    for (n, item) in items.into_iter().enumerate() {
        let at = Duration::try_from_secs_f64(share * (n as f64 + jitter())).unwrap_or(budget);
        let elapsed = began.elapsed();
        let ahead = at.saturating_sub(elapsed);
        if ahead >= TICK {
            tokio::time::sleep(ahead).await;
        } else if n % IN_A_ROW_MAX == IN_A_ROW_MAX - 1 && elapsed < budget {
            tokio::task::yield_now().await;
        }
        act(item);
    }
    began.elapsed()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_is_overdue_waits_for_nothing() {
        let done = Cell::new(0);
        let spread = spread((0..15_000).collect(), Duration::ZERO, || 0.5, |n| done.set(n));
        assert!(spread.now_or_never().is_some(), "it waited");
        assert_eq!(done.into_inner(), 14_999);
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_spread_over_the_budget_and_no_longer() {
        let budget = Duration::from_secs(2);
        for count in [1, 20, 960, 15_000] {
            let began = Instant::now();
            let acted = RefCell::new(Vec::new());
            let act = |_| acted.borrow_mut().push(began.elapsed());
            let took = spread(vec![(); count], budget, || 0.5, act).await;
            assert!(took <= budget, "{count}: {took:?}");
            let share = budget.as_secs_f64() / count as f64;
            for (n, at) in acted.into_inner().into_iter().enumerate() {
                let due = Duration::from_secs_f64(share * (n as f64 + 0.5));
                assert!(at.abs_diff(due) <= TICK, "{n} of {count}: {at:?}, {due:?}");
            }
        }
    }
}
