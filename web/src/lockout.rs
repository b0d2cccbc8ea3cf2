//! Who has to wait after wrong passwords, at the pages and at the broker, as one list.

use crate::app::Ctx;
use crate::limiter::mark_of;
use crate::problem::Problem;
use fleet::FleetState;
use schema::Timestamp;

/// The most rows that are shown; the longest waits first.
pub(crate) const MOST_SHOWN: usize = 100;

/// Somebody who has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldUp {
    /// `pages` or `mqtt`.
    pub(crate) listener: &'static str,
    /// The address, or the /64 with IPv6; `None` = from everywhere.
    pub(crate) origin: Option<String>,
    /// The account or host that is tried; `None` = one after the other, or one that does not exist.
    pub(crate) account: Option<String>,
    /// Tries that failed, at the broker those that were turned away.
    pub(crate) failures: u32,
    pub(crate) until: Timestamp,
}

/// All of them, and how many more there are.
pub(crate) fn held_up(ctx: &Ctx, state: &FleetState) -> Result<(Vec<HeldUp>, usize), Problem> {
    let now = ctx.now();
    let operators = state.operators()?;
    let name_of = |mark: String| {
        operators.iter().map(|operator| &operator.name).find(|name| mark_of(name) == mark).cloned()
    };
    let at_pages = ctx.app.limiter().held(now).into_iter().map(|held| HeldUp {
        listener: "pages",
        origin: held.origin,
        account: held.name.and_then(name_of),
        failures: held.failures,
        until: held.until,
    });
    let at_broker = (ctx.app.settings.held_logins)().into_iter().map(|held| HeldUp {
        listener: "mqtt",
        origin: Some(held.origin),
        account: held.account,
        failures: held.failures,
        until: now.plus_ms(held.for_ms),
    });
    let mut all: Vec<HeldUp> = at_pages.chain(at_broker).collect();
    all.sort_by_key(|held| std::cmp::Reverse(held.until));
    let more = all.len().saturating_sub(MOST_SHOWN);
    all.truncate(MOST_SHOWN);
    Ok((all, more))
}
