//! What a customer owns, reckoned by itself: nothing here knows the product's code.
//!
//! Several things may happen to one wallet at once, in an order that only the database knows. What is seen
//! afterwards must be what *some* order of them gives.

use std::collections::BTreeSet;
use std::time::Duration;

use easyisp_shared::time::Timestamp;

/// What a customer has: minor units, and service until then.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Holding {
    pub balance: i64,
    pub until: Timestamp,
    /// Since when his time stands still.
    pub away: Option<Timestamp>,
}

/// What a package costs, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub price: i64,
    pub secs: u64,
}

/// What happened to a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moved {
    /// Money came into his wallet. It buys one period when the wallet then covers it.
    In {
        amount: i64,
        /// When it moved at the provider.
        paid_at: Timestamp,
        /// When we learnt of it.
        told_at: Timestamp,
    },
    /// Money was taken out of his wallet again, below zero if it must.
    Out { amount: i64 },
    /// What was to be sent back was not: it is in his wallet again, and buys nothing by that.
    Back { amount: i64 },
    /// A voucher gave him time.
    Time { secs: u64, at: Timestamp },
    /// Of what money had bought that went back, so much time is taken, and its price is in his wallet again.
    Unsold { amount: i64, secs: u64 },
}

/// A customer between two looks.
#[derive(Clone, Debug)]
pub struct Between {
    pub before: Holding,
    /// What his package was and is.
    pub plans: Vec<Plan>,
    pub moved: Vec<Moved>,
    pub renews: bool,
    /// Whether an operator may have stopped his time meanwhile, or have let it go on.
    pub paused: bool,
    pub resumed: bool,
    pub now: Timestamp,
}

impl Between {
    /// Whether he may have this now, having bought so many periods from his wallet.
    pub fn may_become(&self, after: Holding, bought: usize) -> bool {
        let mut open = BTreeSet::from([(self.before, 0_usize, 0_u32)]);
        let mut seen = BTreeSet::new();
        let all = (1_u32 << self.moved.len()) - 1;
        while let Some(state) = open.pop_first() {
            if !seen.insert(state) {
                continue;
            }
            let (holding, periods, done) = state;
            if done == all && holding == after && periods == bought {
                return true;
            }
            if periods > bought {
                continue;
            }
            for (nth, moved) in self.moved.iter().enumerate() {
                if done & (1 << nth) == 0 {
                    let next = self.after(holding, *moved).into_iter();
                    open.extend(next.map(|(is, buys)| (is, periods + buys, done | 1 << nth)));
                }
            }
            if self.paused && holding.away.is_none() && holding.until > self.now {
                let away = Some(self.now);
                open.insert((Holding { away, ..holding }, periods, done));
            }
            if self.resumed {
                open.insert((holding.back(self.now), periods, done));
            }
            // He renews by himself: where his last time ended, or from now on when he was cut off.
            if self.renews && holding.away.is_none() && holding.until <= self.now {
                for start in [holding.until, self.now] {
                    let bought = self.buy(holding, start);
                    open.extend(bought.into_iter().map(|is| (is, periods + 1, done)));
                }
            }
        }
        false
    }

    fn after(&self, holding: Holding, moved: Moved) -> Vec<(Holding, usize)> {
        match moved {
            Moved::Out { amount } => {
                let balance = holding.balance - amount;
                vec![(Holding { balance, ..holding }, 0)]
            }
            Moved::Back { amount } => {
                let balance = holding.balance + amount;
                vec![(Holding { balance, ..holding }, 0)]
            }
            Moved::Unsold { amount, secs } => {
                let balance = holding.balance + amount;
                let until = holding.until.minus(Duration::from_secs(secs));
                vec![(
                    Holding {
                        balance,
                        until,
                        ..holding
                    },
                    0,
                )]
            }
            Moved::Time { secs, at } => {
                let holding = holding.back(self.now);
                let until = holding.until.max(at).plus(Duration::from_secs(secs));
                vec![(Holding { until, ..holding }, 0)]
            }
            Moved::In {
                amount,
                paid_at,
                told_at,
            } => {
                let balance = holding.balance + amount;
                let filled = Holding { balance, ..holding };
                let mut possible = Vec::new();
                for plan in &self.plans {
                    if balance < plan.price {
                        possible.push((filled, 0));
                        continue;
                    }
                    // A period ends a pause. News that took more than a fiftieth of the time is no fault of the payer.
                    let filled = filled.back(told_at);
                    let late = told_at.since(paid_at) > Duration::from_secs(plan.secs) / 50;
                    let from = if late { told_at } else { paid_at };
                    let start = filled.until.max(from);
                    possible.extend(buy_one(filled, *plan, start).map(|is| (is, 1)));
                }
                possible
            }
        }
    }

    fn buy(&self, holding: Holding, start: Timestamp) -> Vec<Holding> {
        let bought = |plan: &Plan| buy_one(holding, *plan, start);
        self.plans.iter().filter_map(bought).collect()
    }
}

impl Holding {
    /// As he is once his time goes on.
    fn back(self, now: Timestamp) -> Holding {
        let lasted = self.away.map(|since| now.since(since));
        Holding {
            until: self.until.plus(lasted.unwrap_or_default()),
            away: None,
            ..self
        }
    }
}

fn buy_one(holding: Holding, plan: Plan, start: Timestamp) -> Option<Holding> {
    (holding.balance >= plan.price).then(|| Holding {
        balance: holding.balance - plan.price,
        until: start.plus(Duration::from_secs(plan.secs)),
        ..holding
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn between(moved: Vec<Moved>, renews: bool) -> Between {
        Between {
            before: has(0, 0),
            plans: vec![Plan {
                price: 100,
                secs: 1_000,
            }],
            moved,
            renews,
            paused: false,
            resumed: false,
            now: at(500),
        }
    }

    fn has(balance: i64, until: i64) -> Holding {
        Holding {
            balance,
            until: at(until),
            away: None,
        }
    }

    fn paid(amount: i64) -> Moved {
        Moved::In {
            amount,
            paid_at: at(490),
            told_at: at(500),
        }
    }

    #[test]
    fn money_is_kept_or_becomes_time_and_nothing_else() {
        let twice = between(vec![paid(100), paid(60)], false);
        assert!(twice.may_become(has(60, 1_490), 1));
        assert!(!twice.may_become(has(160, 0), 0), "who can pay is served");
        assert!(!twice.may_become(has(60, 1_491), 1), "a second for nothing");
        assert!(!twice.may_become(has(59, 1_490), 1), "a cent is gone");

        let back = between(vec![paid(100), Moved::Out { amount: 100 }], false);
        assert!(
            back.may_become(has(-100, 1_490), 1),
            "bought, then taken back"
        );
        assert!(back.may_become(has(0, 0), 0), "taken back first");
        assert!(!back.may_become(has(0, 1_490), 1), "service for nothing");
    }

    #[test]
    fn who_renews_by_himself_goes_on_or_begins_anew() {
        let mut full = between(Vec::new(), true);
        full.before.balance = 250;
        assert!(full.may_become(has(150, 1_000), 1), "without a gap");
        assert!(full.may_become(has(150, 1_500), 1), "he was cut off");
        assert!(
            !full.may_become(has(50, 2_000), 2),
            "nobody asked for a second"
        );
    }

    #[test]
    fn a_pause_keeps_what_is_left_and_a_period_ends_it() {
        let mut away = between(Vec::new(), false);
        (away.before, away.resumed) = (has(0, 700), true);
        away.before.away = Some(at(200));
        assert!(away.may_become(has(0, 1_000), 0), "500 were left");
        assert!(!away.may_become(has(0, 1_001), 0), "a second for nothing");
        assert!(!away.may_become(has(0, 700), 0), "what was left is gone");
        away.moved = vec![paid(100)];
        assert!(away.may_become(has(0, 2_000), 1), "behind what was left");
        let taken = Moved::Unsold {
            amount: 40,
            secs: 300,
        };
        let unsold = between(vec![Moved::Out { amount: 40 }, taken], false);
        assert!(unsold.may_become(has(0, -300), 0));
    }
}
