//! Leaves a provider alone that does not work: after some failures in a row calls are held back for a while, then one
//! of them tries it, and what it hears decides for all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_shared::time::{Clock, Timestamp};

use super::provider::ProviderError;

/// So many failures in a row are no accident.
const MOST_FAILURES: u32 = 5;
/// How long calls are held back at first; doubled each time it was in vain.
const FIRST_REST: Duration = Duration::from_secs(15);
/// How long they are held back at most: so long what was paid waits after the provider works again.
const LONGEST_REST: Duration = Duration::from_secs(120);
/// How long the one call may take that tries; then the next one does.
const TRYING: Duration = Duration::from_secs(60);
/// Most products remembered; more begin anew.
const MOST: usize = 10_000;

/// What is known of one product of a provider, as one tenant calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Calls go out.
    Works { failures: u32 },
    /// Calls are held back until then.
    Rests { until: Timestamp, rest: Duration },
    /// One call tries it; if nothing is heard of that one until then, the next may.
    Tries { until: Timestamp, rest: Duration },
}

impl State {
    const NEW: State = State::Works { failures: 0 };

    /// Whether a call may go out: the state then, or when to come again.
    fn enter(self, now: Timestamp) -> Result<State, Timestamp> {
        match self {
            State::Works { .. } => Ok(self),
            State::Rests { until, .. } | State::Tries { until, .. } if now < until => Err(until),
            State::Rests { rest, .. } | State::Tries { rest, .. } => Ok(State::Tries {
                until: now.plus(TRYING),
                rest,
            }),
        }
    }

    /// What a call that went out means.
    fn heard(self, call: Call, now: Timestamp) -> State {
        let rests = |rest: Duration| State::Rests {
            until: now.plus(rest),
            rest,
        };
        match (self, call) {
            (_, Call::Answered) => State::NEW,
            (State::Works { failures }, Call::Failed) if failures + 1 < MOST_FAILURES => {
                State::Works {
                    failures: failures + 1,
                }
            }
            (State::Works { .. }, Call::Failed) => rests(FIRST_REST),
            // It went out before.
            (State::Rests { .. }, Call::Failed) => self,
            (State::Tries { rest, .. }, Call::Failed) => rests((rest * 2).min(LONGEST_REST)),
        }
    }
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// The provider answered, were it with a refusal.
    Answered,
    /// It cannot be reached, does not answer, or says that it is down.
    Failed,
}

/// What is known of every product that was called, on this node. Cloning shares it.
#[derive(Debug)]
pub struct Breakers<K>(Arc<Mutex<HashMap<K, State>>>);

impl<K: Eq + Hash> Breakers<K> {
    /// Whether a call to this product may go out; else when to come again. Whoever goes out tells [`Breakers::heard`].
    pub fn enter(&self, product: K, now: Timestamp) -> Result<(), Timestamp> {
        let mut known = self.0.lock().expect("no code panics under this lock");
        if let Some(state) = known.get_mut(&product) {
            *state = state.enter(now)?;
        }
        Ok(())
    }

    /// One call, unless this product has failed again and again: then it is held back for a while, and
    /// [`ProviderError::Busy`] is all that is heard.
    pub async fn guarded<T>(
        &self,
        product: K,
        clock: &Clock,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError>
    where
        K: Clone,
    {
        self.enter(product.clone(), clock.now()).map_err(|until| {
            ProviderError::Busy(format!(
                "it has not worked for a while; tried again at {until}"
            ))
        })?;
        let answer = call.await;
        let what = match &answer {
            Err(error) if error.is_outage() => Call::Failed,
            Ok(_) | Err(_) => Call::Answered,
        };
        self.heard(product, what, clock.now());
        answer
    }

    /// Notes what became of a call.
    pub fn heard(&self, product: K, call: Call, now: Timestamp) {
        let mut known = self.0.lock().expect("no code panics under this lock");
        let state = known.get(&product).copied().unwrap_or(State::NEW);
        match state.heard(call, now) {
            State::NEW => drop(known.remove(&product)),
            next => {
                if known.len() >= MOST {
                    known.clear();
                }
                known.insert(product, next);
            }
        }
    }
}

impl<K> Default for Breakers<K> {
    fn default() -> Breakers<K> {
        Breakers(Arc::default())
    }
}

impl<K> Clone for Breakers<K> {
    fn clone(&self) -> Breakers<K> {
        Breakers(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Timestamp {
        let start = Timestamp::parse("2027-01-15T08:00:00Z").unwrap();
        start.plus(Duration::from_secs(secs))
    }

    #[test]
    fn five_failures_hold_calls_back_and_one_call_tries() {
        let known = Breakers::default();
        for _ in 0..5 {
            assert_eq!(known.enter("push", at(0)), Ok(()));
            known.heard("push", Call::Failed, at(0));
        }
        assert_eq!(known.enter("push", at(14)), Err(at(15)));
        assert_eq!(known.enter("query", at(14)), Ok(()), "another product");
        assert_eq!(known.enter("push", at(15)), Ok(()));
        assert_eq!(known.enter("push", at(15)), Err(at(75)), "one of them");
        known.heard("push", Call::Failed, at(20));
        assert_eq!(known.enter("push", at(49)), Err(at(50)), "twice as long");
        assert_eq!(known.enter("push", at(50)), Ok(()));
        known.heard("push", Call::Answered, at(51));
        for _ in 0..3 {
            assert_eq!(known.enter("push", at(51)), Ok(()));
        }
    }

    #[test]
    fn whoever_tries_and_tells_nothing_holds_nobody_back_for_ever() {
        let known = Breakers::default();
        for _ in 0..5 {
            known.heard((), Call::Failed, at(0));
        }
        assert_eq!(known.enter((), at(15)), Ok(()));
        assert_eq!(known.enter((), at(75)), Ok(()));
    }

    proptest! {
        /// Whatever happened: two minutes after the last call somebody may call again.
        #[test]
        fn nobody_is_held_back_for_longer_than_it_says(
            steps in prop::collection::vec((0_u64..200, any::<bool>(), any::<bool>()), 0..60),
        ) {
            let known = Breakers::default();
            let mut now = 0;
            for (pause, goes_out, answered) in steps {
                now += pause;
                if goes_out && known.enter((), at(now)).is_err() {
                    continue;
                }
                let call = if answered { Call::Answered } else { Call::Failed };
                known.heard((), call, at(now));
            }
            prop_assert_eq!(known.enter((), at(now + 120)), Ok(()));
        }
    }
}
