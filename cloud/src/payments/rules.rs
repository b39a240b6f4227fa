//! A payment we asked for: one state machine, fed by push answers, callbacks, queries and time.

use std::time::Duration;

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

/// Where a payment stands, and what somebody told us that the provider has not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Push {
    /// What is known.
    pub state: State,
    /// A report of money that waits for our own query.
    pub claim: Option<Claim>,
}

/// What is known of a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Written down; the provider was not asked, or nobody saw the answer.
    Created,
    /// The prompt is on its way to the phone.
    Pending,
    /// The provider did not answer: the prompt may be on the phone. Never asked for a second time.
    Unknown,
    /// The provider's query says paid: credited, and its receipt is not known yet.
    Provisional,
    /// Paid and credited. M-Pesa issues each receipt once.
    Posted {
        /// The provider's receipt.
        receipt: String,
        /// Whether our own query agreed.
        confirmed: bool,
    },
    /// Cancelled, wrong PIN, no funds, or never sent; `code` is M-Pesa's `ResultCode`.
    Refused {
        /// `None` when the push itself was refused.
        code: Option<i32>,
    },
    /// No news in time. A late success still credits.
    Expired,
}

/// A report that money moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The receipt it names.
    pub receipt: String,
    /// The amount it names; `None` when that is no amount.
    pub amount: Option<Cents>,
    /// When it says the money moved.
    pub paid_at: Option<Timestamp>,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The provider took the push.
    Accepted,
    /// The provider refused the push: there is no prompt.
    Rejected,
    /// The provider did not answer the push.
    Silent,
    /// A callback we believe at once says paid.
    Paid(Claim),
    /// A callback that our query must confirm says paid.
    Claimed(Claim),
    /// A callback says paid and names no receipt.
    Hinted,
    /// A callback says not paid.
    Failed {
        /// M-Pesa's `ResultCode`.
        code: i32,
    },
    /// Our query says paid.
    QueryPaid,
    /// Our query says not paid.
    QueryFailed {
        /// M-Pesa's `ResultCode`.
        code: i32,
    },
    /// Time went by.
    Tick {
        /// Whether the window for paying is over.
        over: bool,
    },
}

/// What the caller must write in the same transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// Credit the customer, once.
    Credit(Credit),
    /// Write the receipt on the credit that was given before it was known.
    Join {
        /// The receipt.
        receipt: String,
    },
    /// A second receipt for one push is real money too, and one prompt is paid once: it is booked as
    /// nobody's, and a person looks at it.
    HoldAndReview(Claim),
    /// Ask the provider now.
    Ask,
    /// A person must look at it.
    Review(&'static str),
}

/// What is credited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credit {
    /// How much.
    pub amount: Cents,
    /// The provider's receipt, when known.
    pub receipt: Option<String>,
    /// When the money moved, when known.
    pub paid_at: Option<Timestamp>,
    /// What a person must look at, if anything.
    pub review: Option<&'static str>,
}

/// What was asked for, and how far the gateway trusts a callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The amount of the push.
    pub asked: Cents,
    /// Up to here a callback that agrees credits before our own query.
    pub confirm_above: Cents,
}

impl Push {
    /// A payment that was written down and not asked for yet.
    pub fn new() -> Push {
        Push {
            state: State::Created,
            claim: None,
        }
    }

    /// The next state, and what the caller must write in the same transaction.
    ///
    /// Money that arrived is always booked, and booked once; nothing un-posts it.
    pub fn apply(self, event: Event, terms: Terms) -> (Push, Effect) {
        use State::*;

        let Push { state, claim } = self;
        match (state, event) {
            (Created | Unknown, Event::Accepted) => (
                Push {
                    state: Pending,
                    claim,
                },
                Effect::None,
            ),
            (Created, Event::Rejected) => (
                Push {
                    state: Refused { code: None },
                    claim,
                },
                Effect::None,
            ),
            (Created, Event::Silent) => (
                Push {
                    state: Unknown,
                    claim,
                },
                Effect::None,
            ),
            // A callback overtook the answer to the push.
            (state, Event::Accepted | Event::Rejected | Event::Silent) => {
                (Push { state, claim }, Effect::None)
            }

            (Created | Pending | Unknown | Refused { .. } | Expired, Event::Paid(paid)) => {
                let state = Posted {
                    receipt: paid.receipt.clone(),
                    confirmed: false,
                };
                (
                    Push { state, claim: None },
                    Effect::Credit(credit(paid, terms)),
                )
            }
            (
                state @ (Created | Pending | Unknown | Refused { .. } | Expired),
                Event::Claimed(told),
            ) => (
                Push {
                    state,
                    claim: Some(told),
                },
                Effect::Ask,
            ),
            (state @ (Created | Pending | Unknown | Refused { .. } | Expired), Event::Hinted) => {
                (Push { state, claim }, Effect::Ask)
            }

            (Provisional, Event::Paid(told) | Event::Claimed(told)) => match told.amount {
                Some(amount) if amount == terms.asked => {
                    let receipt = told.receipt;
                    let state = Posted {
                        receipt: receipt.clone(),
                        confirmed: true,
                    };
                    (Push { state, claim: None }, Effect::Join { receipt })
                }
                Some(_) | None => {
                    let what = "A callback names another amount than the one that was credited";
                    (
                        Push {
                            state: Provisional,
                            claim: Some(told),
                        },
                        Effect::Review(what),
                    )
                }
            },
            (state @ (Provisional | Posted { .. }), Event::Hinted) => {
                (Push { state, claim }, Effect::None)
            }
            (Posted { receipt, confirmed }, Event::Paid(told) | Event::Claimed(told))
                if receipt == told.receipt =>
            {
                (
                    Push {
                        state: Posted { receipt, confirmed },
                        claim,
                    },
                    Effect::None,
                ) // a repeated callback
            }
            (state @ Posted { .. }, Event::Paid(told)) => {
                (Push { state, claim }, Effect::HoldAndReview(told))
            }
            (state @ Posted { .. }, Event::Claimed(_)) => {
                let what = "A callback that is not trusted names a second receipt for this payment";
                (Push { state, claim }, Effect::Review(what))
            }

            (state @ (Created | Pending | Unknown | Expired), Event::Failed { code }) => {
                match claim {
                    None => (
                        Push {
                            state: Refused { code: Some(code) },
                            claim: None,
                        },
                        Effect::None,
                    ),
                    Some(_) => (Push { state, claim }, Effect::Ask), // two callbacks disagree
                }
            }
            (state @ Refused { .. }, Event::Failed { .. }) => (Push { state, claim }, Effect::None),
            (
                state @ (Provisional | Posted { .. }),
                Event::Failed { .. } | Event::QueryFailed { .. },
            ) => {
                let what =
                    "M-Pesa said both paid and not paid; it stays paid until a person decides";
                (Push { state, claim }, Effect::Review(what))
            }

            (Created | Pending | Unknown | Refused { .. } | Expired, Event::QueryPaid) => {
                match claim {
                    Some(told) => {
                        let state = Posted {
                            receipt: told.receipt.clone(),
                            confirmed: true,
                        };
                        (
                            Push { state, claim: None },
                            Effect::Credit(credit(told, terms)),
                        )
                    }
                    None => {
                        let credit = Credit {
                            amount: terms.asked,
                            receipt: None,
                            paid_at: None,
                            review: None,
                        };
                        (
                            Push {
                                state: Provisional,
                                claim: None,
                            },
                            Effect::Credit(credit),
                        )
                    }
                }
            }
            (Posted { receipt, .. }, Event::QueryPaid) => (
                Push {
                    state: Posted {
                        receipt,
                        confirmed: true,
                    },
                    claim,
                },
                Effect::None,
            ),
            (Provisional, Event::QueryPaid) => (
                Push {
                    state: Provisional,
                    claim,
                },
                Effect::None,
            ),

            (
                Created | Pending | Unknown | Refused { .. } | Expired,
                Event::QueryFailed { code },
            ) => {
                let effect = match claim {
                    None => Effect::None,
                    Some(_) => Effect::Review("A callback said paid; M-Pesa says it was not"),
                };
                (
                    Push {
                        state: Refused { code: Some(code) },
                        claim: None,
                    },
                    effect,
                )
            }

            (Created | Pending | Unknown, Event::Tick { over: true }) => (
                Push {
                    state: Expired,
                    claim,
                },
                Effect::None,
            ),
            (Created, Event::Tick { over: false }) => (
                Push {
                    state: Unknown,
                    claim,
                },
                Effect::None,
            ),
            (state, Event::Tick { .. }) => (Push { state, claim }, Effect::None), // only an open push ages
        }
    }

    /// Whether the customer may still be asked to type his PIN.
    pub fn is_open(&self) -> bool {
        match self.state {
            State::Created | State::Pending | State::Unknown => true,
            State::Provisional | State::Posted { .. } | State::Refused { .. } | State::Expired => {
                false
            }
        }
    }

    /// Whether nobody has said for sure what became of it.
    pub fn is_undecided(&self) -> bool {
        let refused = matches!(self.state, State::Refused { .. });
        self.is_worth_asking() && (!refused || self.claim.is_some())
    }

    /// Whether asking the provider could still tell something.
    pub fn is_worth_asking(&self) -> bool {
        match self.state {
            State::Created | State::Pending | State::Unknown | State::Expired => true,
            State::Posted { confirmed, .. } => !confirmed,
            State::Refused { code } => code == Some(NO_ANSWER) || self.claim.is_some(),
            State::Provisional => false,
        }
    }
}

impl Default for Push {
    fn default() -> Push {
        Push::new()
    }
}

/// What a claim is worth. A report is never credited for much more than was asked: whoever knows the
/// secret path could write any amount.
fn credit(claim: Claim, terms: Terms) -> Credit {
    let most = terms.asked.plus(terms.confirm_above).unwrap_or(terms.asked);
    let (amount, review) = match claim.amount {
        Some(amount) if amount == terms.asked => (amount, None),
        Some(amount) if amount.is_positive() && amount <= most => (amount, None),
        Some(amount) if amount.is_positive() => (
            terms.asked,
            Some("The callback names far more than was asked; the asked amount was credited"),
        ),
        Some(_) | None => (
            terms.asked,
            Some("The callback names no amount we believe; the asked amount was credited"),
        ),
    };
    Credit {
        amount,
        receipt: Some(claim.receipt),
        paid_at: claim.paid_at,
        review,
    }
}

/// Where a callback came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// On the list.
    Listed,
    /// Not on the list.
    Unlisted,
    /// There is no list.
    Unknown,
}

/// Whether a callback that says paid is believed at once or only after our own query.
///
/// Our query tells that a prompt was paid, not how much and by which receipt. Where there is a list, whoever is not
/// on it only makes us ask: a receipt that a stranger made up would stand beside the payment, and the true one would
/// be credited too. Where there is none, the receipt is taken and another amount than the one asked for is not.
pub fn judge(claim: Claim, terms: Terms, source: Source) -> Event {
    let exact = claim.amount == Some(terms.asked);
    match (source, exact) {
        (Source::Listed, true) if terms.asked <= terms.confirm_above => Event::Paid(claim),
        (Source::Listed, _) | (Source::Unknown, true) => Event::Claimed(claim),
        (Source::Unlisted, _) => Event::Hinted,
        (Source::Unknown, false) => Event::Claimed(Claim {
            amount: None,
            ..claim
        }),
    }
}

/// How long one question to the provider serves everybody who would ask it.
pub const ASKED: Duration = Duration::from_secs(2);

/// How long a prompt counts as open: after it a new one may be asked for.
pub const WINDOW: Duration = Duration::from_secs(5 * 60);
/// "The phone did not answer", after which successes have been seen.
pub const NO_ANSWER: i32 = 1037;
/// How long a prompt is followed up.
pub const FOLLOW_UP: Duration = Duration::from_secs(24 * 3_600);

/// When to ask the provider next, by the age of the push: at 10, 20, 40, 80 and 160 s, then every 5
/// minutes for 2 hours, then hourly for a day. `None` when a person must look.
pub fn next_query(age: Duration) -> Option<Duration> {
    const FIRST: [u64; 5] = [10, 20, 40, 80, 160];
    const MINUTES: u64 = 5 * 60;
    const HOUR: u64 = 3_600;

    let age = age.as_secs();
    let next = match FIRST.iter().find(|at| age < **at) {
        Some(at) => *at,
        None if age < 2 * HOUR => (age / MINUTES + 1) * MINUTES,
        None => (age / HOUR + 1) * HOUR,
    };
    (next <= FOLLOW_UP.as_secs()).then(|| Duration::from_secs(next))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
