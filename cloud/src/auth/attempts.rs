//! How often an account and an address may try to sign in. Never a permanent lock.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use easyisp_shared::id::OperatorId;
use easyisp_shared::time::Timestamp;

use crate::config::Limits;

/// Failures count for this long.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// An address is known to an account for so long after it signed in from there.
const KNOWN: Duration = Duration::from_secs(30 * 86_400);
/// Registrations count for this long.
const HOUR: Duration = Duration::from_secs(3600);
/// The first wait of an account with too many failures; it doubles up to [`WINDOW`].
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// Accounts and addresses remembered; beyond that the oldest are forgotten.
const MOST: usize = 65_536;

/// Wrong codes of a second factor in a window; then its account waits for the window's end.
const CODES: u32 = 5;

/// Mails with a reset link in an hour, for one account and from one address.
const RESETS: u32 = 5;
const RESETS_OF_ADDRESS: u32 = 20;

/// Pictures that one account sends in an hour.
const PICTURES: u32 = 20;

/// The digest under which an account's failures are counted, whether the account exists or not.
pub type AccountKey = [u8; 32];

/// Counts tries.
pub struct Attempts {
    accounts: Counted<AccountKey>,
    /// When somebody signed in to an account from an address last.
    known: HashMap<(AccountKey, IpAddr), Timestamp>,
    /// Failures of those, each apart: no stranger keeps who is known out.
    of_known: Counted<(AccountKey, IpAddr)>,
    addresses: Counted<IpAddr>,
    registrations: Counted<IpAddr>,
    codes: Counted<OperatorId>,
    pictures: Counted<OperatorId>,
    resets: Counted<AccountKey>,
    resets_of_addresses: Counted<IpAddr>,
}

impl Attempts {
    /// As configured.
    pub fn new(limits: &Limits) -> Attempts {
        Attempts {
            accounts: Counted::new(limits.account_failures.get(), WINDOW, Wait::Growing),
            known: HashMap::new(),
            of_known: Counted::new(limits.account_failures.get(), WINDOW, Wait::Growing),
            addresses: Counted::new(limits.address_failures.get(), WINDOW, Wait::Window),
            registrations: Counted::new(limits.registrations.get(), HOUR, Wait::Window),
            codes: Counted::new(CODES, WINDOW, Wait::Window),
            pictures: Counted::new(PICTURES, HOUR, Wait::Window),
            resets: Counted::new(RESETS, HOUR, Wait::Window),
            resets_of_addresses: Counted::new(RESETS_OF_ADDRESS, HOUR, Wait::Window),
        }
    }

    /// Counts a try to sign in as failed until [`Attempts::succeeded`] says otherwise (so that tries made
    /// at once all count), or says how long to wait.
    ///
    /// An address from which somebody signed in to the account lately waits for its own failures alone: whoever types
    /// wrong passwords from elsewhere keeps himself out, not its owner.
    pub fn begin(
        &mut self,
        account: AccountKey,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let both = (account, address);
        if self.known.get(&both).is_some_and(|at| now < at.plus(KNOWN)) {
            self.of_known.check(&both, now)?;
            self.addresses.count(address, now)?;
            return self.of_known.count(both, now);
        }
        self.accounts.check(&account, now)?;
        self.addresses.count(address, now)?;
        self.accounts.count(account, now)
    }

    /// Takes back what [`Attempts::begin`] counted: the password was right.
    pub fn succeeded(&mut self, account: &AccountKey, address: &IpAddr, now: Timestamp) {
        let both = (*account, *address);
        self.accounts.forget(account);
        self.of_known.forget(&both);
        self.addresses.uncount(address);
        if self.known.len() >= MOST {
            // The older half.
            let mut ages: Vec<Timestamp> = self.known.values().copied().collect();
            let (_, middle, _) = ages.select_nth_unstable(MOST / 2);
            let middle = *middle;
            self.known.retain(|_, at| *at > middle);
        }
        self.known.insert(both, now);
    }

    /// Counts a code as wrong until [`Attempts::code_was_right`] says otherwise, or says how long to wait.
    pub fn code(&mut self, operator: OperatorId, now: Timestamp) -> Result<(), Duration> {
        self.codes.count(operator, now)
    }

    /// Takes back what [`Attempts::code`] counted.
    pub fn code_was_right(&mut self, operator: &OperatorId) {
        self.codes.forget(operator);
    }

    /// Counts a picture, or says how long to wait.
    pub fn picture(&mut self, operator: OperatorId, now: Timestamp) -> Result<(), Duration> {
        self.pictures.count(operator, now)
    }

    /// Counts a mail with a reset link, or says how long to wait.
    pub fn reset(
        &mut self,
        account: AccountKey,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Duration> {
        self.resets_of_addresses.count(address, now)?;
        self.resets.count(account, now)
    }

    /// Counts a registration, or says how long to wait.
    pub fn register(&mut self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        self.registrations.count(address, now)
    }
}

/// How long who tried too often waits.
#[derive(Clone, Copy)]
enum Wait {
    /// To the end of the window.
    Window,
    /// Twice as long after each further failure.
    Growing,
}

struct Counted<K> {
    most: u32,
    window: Duration,
    wait: Wait,
    tries: HashMap<K, Tries>,
}

#[derive(Clone, Copy)]
struct Tries {
    since: Timestamp,
    count: u32,
    wait_until: Timestamp,
}

impl<K: Hash + Eq + Copy> Counted<K> {
    fn new(most: u32, window: Duration, wait: Wait) -> Counted<K> {
        Counted {
            most,
            window,
            wait,
            tries: HashMap::new(),
        }
    }

    fn check(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        match self.tries.get(key) {
            Some(tries) if now < tries.wait_until => Err(tries.wait_until.since(now)),
            Some(_) | None => Ok(()),
        }
    }

    fn count(&mut self, key: K, now: Timestamp) -> Result<(), Duration> {
        self.check(&key, now)?;
        self.make_room(now);
        let (most, window, wait) = (self.most, self.window, self.wait);
        let tries = self.tries.entry(key).or_insert(Tries {
            since: now,
            count: 0,
            wait_until: Timestamp::default(),
        });
        let over = match wait {
            Wait::Window => tries.since.plus(window) <= now,
            // Who was made to wait is not forgiven as soon as he may try again.
            Wait::Growing => {
                tries.since.plus(window) <= now && tries.wait_until.plus(window) <= now
            }
        };
        if over {
            *tries = Tries {
                since: now,
                count: 0,
                wait_until: Timestamp::default(),
            };
        }
        tries.count = tries.count.saturating_add(1);
        if tries.count >= most {
            tries.wait_until = match wait {
                Wait::Window => tries.since.plus(window),
                Wait::Growing => {
                    let doubled = FIRST_WAIT.saturating_mul(1 << (tries.count - most).min(10));
                    now.plus(doubled.min(window))
                }
            };
        }
        Ok(())
    }

    fn uncount(&mut self, key: &K) {
        if let Some(tries) = self.tries.get_mut(key) {
            tries.count = tries.count.saturating_sub(1);
            if tries.count < self.most {
                tries.wait_until = Timestamp::default();
            }
        }
    }

    fn forget(&mut self, key: &K) {
        self.tries.remove(key);
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.tries.len() < MOST {
            return;
        }
        let window = self.window;
        self.tries.retain(|_, tries| {
            now < tries.since.plus(window) || now < tries.wait_until.plus(window)
        });
        if self.tries.len() < MOST {
            return;
        }
        // Half at once, so that a flood does not pay this walk at every try.
        let mut ages: Vec<Timestamp> = self.tries.values().map(|tries| tries.since).collect();
        let (_, middle, _) = ages.select_nth_unstable(MOST / 2);
        let middle = *middle;
        self.tries.retain(|_, tries| tries.since > middle);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::num::NonZeroU32;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + secs)
    }

    fn attempts() -> Attempts {
        Attempts::new(&Limits {
            account_failures: NonZeroU32::new(3).unwrap(),
            address_failures: NonZeroU32::new(5).unwrap(),
            registrations: NonZeroU32::new(2).unwrap(),
            ..Limits::default()
        })
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn an_account_waits_longer_after_each_failure_and_never_for_good() {
        let mut attempts = attempts();
        let mut fail = |from, secs| attempts.begin([1; 32], address(from), at(secs));
        assert_eq!(fail(1, 0), Ok(()));
        assert_eq!(fail(2, 0), Ok(()));
        assert_eq!(fail(3, 0), Ok(()));
        assert_eq!(fail(4, 0), Err(Duration::from_secs(30)));
        assert_eq!(fail(4, 30), Ok(()));
        assert_eq!(fail(5, 30), Err(Duration::from_secs(60)));
        assert_eq!(fail(5, 3600), Ok(()));
    }

    #[test]
    fn five_codes_are_tried_in_every_quarter_hour_and_no_more() {
        let mut attempts = attempts();
        let operator = OperatorId(uuid::Uuid::from_u128(1));
        let mut tried = [0_u32; 8];
        for secs in 0..8 * 900 {
            let quarter = usize::try_from(secs / 900).unwrap();
            if attempts.code(operator, at(secs)).is_ok() {
                tried[quarter] += 1;
            }
        }
        assert_eq!(tried, [5; 8]);
    }

    #[test]
    fn an_address_waits_for_the_window_whatever_the_accounts() {
        let mut attempts = attempts();
        for n in 0..5 {
            assert_eq!(attempts.begin([n; 32], address(1), at(0)), Ok(()));
        }
        assert_eq!(
            attempts.begin([9; 32], address(1), at(60)),
            Err(Duration::from_secs(14 * 60))
        );
        assert_eq!(attempts.begin([9; 32], address(2), at(60)), Ok(()));
        assert_eq!(attempts.begin([8; 32], address(1), at(15 * 60)), Ok(()));
    }

    #[test]
    fn the_right_password_takes_the_count_back() {
        let mut attempts = attempts();
        for _ in 0..20 {
            assert_eq!(attempts.begin([1; 32], address(1), at(0)), Ok(()));
            attempts.succeeded(&[1; 32], &address(1), at(0));
        }
    }

    #[test]
    fn a_stranger_keeps_no_owner_out() {
        let mut attempts = attempts();
        let (mine, his) = (address(1), address(2));
        assert_eq!(attempts.begin([1; 32], mine, at(0)), Ok(()));
        attempts.succeeded(&[1; 32], &mine, at(0));
        for _ in 0..3 {
            let _ = attempts.begin([1; 32], his, at(60));
        }
        assert!(attempts.begin([1; 32], address(3), at(60)).is_err());
        assert_eq!(attempts.begin([1; 32], mine, at(60)), Ok(()));
        // His own wrong passwords are counted as anybody's.
        assert_eq!(attempts.begin([1; 32], mine, at(60)), Ok(()));
        assert_eq!(attempts.begin([1; 32], mine, at(60)), Ok(()));
        assert!(attempts.begin([1; 32], mine, at(60)).is_err());
        let later = at(60 + 31 * 86_400);
        for _ in 0..3 {
            assert_eq!(attempts.begin([1; 32], his, later), Ok(()));
        }
        assert!(
            attempts.begin([1; 32], mine, later).is_err(),
            "not known any more"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = attempts();
        for n in 0..(MOST as u32 + 10) {
            let from = std::net::Ipv4Addr::from(n).into();
            let _ = attempts.register(from, at(i64::from(n / 1000)));
        }
        assert!(attempts.registrations.tries.len() <= MOST);
    }
}
