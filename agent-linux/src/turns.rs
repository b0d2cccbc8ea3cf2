//! Which of the server's addresses is tried next. Pure.

use schema::address;

/// Whose turn it is among the addresses of a list, which are tried in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// How many have failed since a connection lasted.
    failed: usize,
}

impl Turns {
    /// The address to try now; empty when there is none at all.
    #[must_use]
    pub fn pick(self, addresses: &str) -> &str {
        let known = address::list(addresses).count().max(1);
        address::list(addresses).nth(self.failed % known).unwrap_or_default()
    }

    /// A connection ended, or did not come about: after one that lasted the first is tried again, else the next. Whether
    /// all of the list have had their turn.
    pub fn ended(&mut self, lasted: bool, addresses: &str) -> bool {
        self.failed = if lasted { 0 } else { self.failed + 1 };
        self.failed.is_multiple_of(address::list(addresses).count().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_turn_in_order_and_the_first_comes_first_again() {
        let (list, mut turns) = ("a:1,b:2,[::1]:3", Turns::default());
        let mut tried = Vec::new();
        for _ in 0..4 {
            tried.push(turns.pick(list));
            let is_round = turns.ended(false, list);
            assert_eq!(is_round, tried.len() == 3);
        }
        assert_eq!(tried, ["a:1", "b:2", "[::1]:3", "a:1"]);
        turns.ended(true, list);
        assert_eq!(turns.pick(list), "a:1");
    }

    #[test]
    fn one_or_none_are_no_reason_to_panic() {
        let mut turns = Turns::default();
        assert!(turns.ended(false, "a:1"));
        assert_eq!((turns.pick("a:1"), turns.pick("")), ("a:1", ""));
        // A list that became shorter.
        turns.ended(false, "a:1,b:2,c:3");
        assert_eq!(turns.pick("a:1"), "a:1");
    }
}
