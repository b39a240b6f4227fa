//! One identity, one box: a counter that a copy of a box does not keep up with.
//!
//! At every link the cloud offers a number it never offered before. The box syncs it to disk and says so;
//! from then on it counts, and older ones are a copy's. Nothing that a box reports is taken before that, so
//! of two holders of one identity never both report in one generation.

/// What is on record for an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generations {
    /// Held by the box for certain.
    pub counted: u64,
    /// Offered last; the box may hold anything from `counted` up to it, because answers get lost.
    pub offered: u64,
}

/// Whether the database was put back to an earlier state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// It holds what it ever held.
    Whole,
    /// The agent has seen more of it than there is.
    PutBack,
}

impl Generations {
    /// A box presents what it holds; what is on record then, with a new offer. `None` = it is a copy, or
    /// the one that was copied.
    pub fn present(self, held: u64, history: History) -> Option<Generations> {
        let ours = (self.counted..=self.offered).contains(&held);
        let ahead = history == History::PutBack && held > self.offered;
        (ours || ahead).then(|| Generations {
            counted: held,
            offered: self.offered.max(held).saturating_add(1),
        })
    }

    /// A box synced an offer to disk; `None` where a later one counts.
    pub fn hold(self, held: u64) -> Option<Generations> {
        let still_open = (self.counted..=self.offered).contains(&held);
        still_open.then_some(Generations {
            counted: held,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Hello,
        Store,
        Tell,
    }

    fn step() -> impl Strategy<Value = (usize, Step)> {
        let what = prop_oneof![Just(Step::Hello), Just(Step::Store), Just(Step::Tell)];
        (0..2usize, what)
    }

    proptest! {
        /// V15: whatever is lost and however the two take turns, no generation is held by both, and once
        /// one of them was let in for good the other is found out at its next hello.
        #[test]
        fn two_copies_are_never_let_in_under_one_generation(
            steps in prop::collection::vec(step(), 0..40), start in 0u64..5,
        ) {
            let mut cloud = Generations { counted: start, offered: start };
            let mut disk = [start; 2];
            let mut offer: [Option<u64>; 2] = [None; 2];
            let mut let_in: BTreeMap<u64, usize> = BTreeMap::new();
            let mut last_in = None;
            let mut raised_by = None;
            for (who, step) in steps {
                match step {
                    Step::Hello => match cloud.present(disk[who], History::Whole) {
                        Some(next) => {
                            if next.counted > cloud.counted {
                                raised_by = Some(who);
                            }
                            cloud = next;
                            offer = [None; 2]; // the link of the other is cut
                            offer[who] = Some(next.offered);
                        }
                        None => {
                            prop_assert!(raised_by.is_some_and(|last| last != who), "an honest box was taken for a copy");
                            break;
                        }
                    },
                    Step::Store => disk[who] = offer[who].unwrap_or(disk[who]),
                    Step::Tell => {
                        let Some(held) = offer[who].filter(|offer| *offer == disk[who]) else { continue };
                        if let Some(next) = cloud.hold(held) {
                            if next.counted > cloud.counted {
                                raised_by = Some(who);
                            }
                            cloud = next;
                            prop_assert_eq!(*let_in.entry(held).or_insert(who), who);
                            last_in = Some(who);
                        }
                    }
                }
            }
            if let Some(last) = last_in {
                let other = 1 - last;
                let found_out = cloud.present(disk[other], History::Whole).is_none();
                prop_assert!(found_out || disk[other] >= cloud.counted);
            }
        }
    }

    #[test]
    fn an_answer_that_got_lost_makes_nobody_a_copy() {
        let lost = Generations {
            counted: 3,
            offered: 4,
        };
        assert!(lost.present(3, History::Whole).is_some());
        assert!(lost.present(4, History::Whole).is_some());
        assert!(lost.present(2, History::Whole).is_none());
        assert!(lost.present(9, History::Whole).is_none());
        let back = lost.present(9, History::PutBack);
        assert_eq!(
            back,
            Some(Generations {
                counted: 9,
                offered: 10
            })
        );
    }
}
