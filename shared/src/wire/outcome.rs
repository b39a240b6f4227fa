//! What came of a login, in words: for the log of logins and for people.

use super::up::LoginOutcome;
use crate::entitlement::Reason;

impl LoginOutcome {
    /// The word that stands in the cloud's log, and beside it that of the reason: they never change.
    pub const fn code(self) -> (&'static str, Option<&'static str>) {
        match self {
            LoginOutcome::Accepted => ("ACCEPTED", None),
            LoginOutcome::Garden(reason) => ("GARDEN", Some(reason.code())),
            LoginOutcome::Refused(reason) => ("REFUSED", Some(reason.code())),
            LoginOutcome::UnknownUser => ("UNKNOWN_USER", None),
            LoginOutcome::WrongPassword => ("WRONG_PASSWORD", None),
            LoginOutcome::LeaseOver => ("LEASE_OVER", None),
            LoginOutcome::VoucherExpired => ("VOUCHER_EXPIRED", None),
            LoginOutcome::VoucherElsewhere => ("VOUCHER_ELSEWHERE", None),
            LoginOutcome::NotStored => ("NOT_STORED", None),
            LoginOutcome::TooManyTries => ("TOO_MANY_TRIES", None),
            LoginOutcome::RouterLogin => ("ROUTER_LOGIN", None),
            LoginOutcome::UnknownRouterLogin => ("UNKNOWN_ROUTER_LOGIN", None),
            LoginOutcome::WrongRouterPassword => ("WRONG_ROUTER_PASSWORD", None),
            LoginOutcome::TooManyRouterTries => ("TOO_MANY_ROUTER_TRIES", None),
        }
    }

    /// The outcome that these words mean; `None` for words of a later release.
    pub fn from_code(word: &str, reason: Option<&str>) -> Option<LoginOutcome> {
        let reason = reason.and_then(Reason::from_code);
        Some(match word {
            "ACCEPTED" => LoginOutcome::Accepted,
            "GARDEN" => LoginOutcome::Garden(reason?),
            "REFUSED" => LoginOutcome::Refused(reason?),
            "UNKNOWN_USER" => LoginOutcome::UnknownUser,
            "WRONG_PASSWORD" => LoginOutcome::WrongPassword,
            "LEASE_OVER" => LoginOutcome::LeaseOver,
            "VOUCHER_EXPIRED" => LoginOutcome::VoucherExpired,
            "VOUCHER_ELSEWHERE" => LoginOutcome::VoucherElsewhere,
            "NOT_STORED" => LoginOutcome::NotStored,
            "TOO_MANY_TRIES" => LoginOutcome::TooManyTries,
            "ROUTER_LOGIN" => LoginOutcome::RouterLogin,
            "UNKNOWN_ROUTER_LOGIN" => LoginOutcome::UnknownRouterLogin,
            "WRONG_ROUTER_PASSWORD" => LoginOutcome::WrongRouterPassword,
            "TOO_MANY_ROUTER_TRIES" => LoginOutcome::TooManyRouterTries,
            _ => return None, // text from a database
        })
    }

    /// Whether he was let in, be it into the walled garden.
    pub const fn is_in(self) -> bool {
        match self {
            LoginOutcome::Accepted | LoginOutcome::Garden(_) | LoginOutcome::RouterLogin => true,
            LoginOutcome::Refused(_)
            | LoginOutcome::UnknownUser
            | LoginOutcome::WrongPassword
            | LoginOutcome::LeaseOver
            | LoginOutcome::VoucherExpired
            | LoginOutcome::VoucherElsewhere
            | LoginOutcome::NotStored
            | LoginOutcome::TooManyTries
            | LoginOutcome::UnknownRouterLogin
            | LoginOutcome::WrongRouterPassword
            | LoginOutcome::TooManyRouterTries => false,
        }
    }

    /// Whether somebody asked for the router itself: no customer's login.
    pub fn is_at_the_router(self) -> bool {
        LoginOutcome::AT_THE_ROUTER.contains(&self)
    }

    /// What comes of asking for the router itself.
    pub const AT_THE_ROUTER: [LoginOutcome; 4] = [
        LoginOutcome::RouterLogin,
        LoginOutcome::UnknownRouterLogin,
        LoginOutcome::WrongRouterPassword,
        LoginOutcome::TooManyRouterTries,
    ];

    /// Why or why not, in a sentence for the operator; the subscriber may have been told less.
    pub fn sentence(self) -> String {
        let fixed = match self {
            LoginOutcome::Garden(reason) => {
                return format!("Let into the walled garden: {}", reason.sentence());
            }
            LoginOutcome::Accepted => "Let in.",
            LoginOutcome::Refused(reason) => reason.sentence(),
            LoginOutcome::UnknownUser => "Nobody of this name at this site.",
            LoginOutcome::WrongPassword => "The password is wrong.",
            LoginOutcome::LeaseOver => {
                "The site may not serve any longer: it has not heard from the cloud for too long."
            }
            LoginOutcome::VoucherExpired => "The voucher was not used in time.",
            LoginOutcome::VoucherElsewhere => {
                "The voucher is held elsewhere and could not be asked for."
            }
            LoginOutcome::NotStored => {
                "The first use could not be written to the agent's disk, so it did not happen."
            }
            LoginOutcome::TooManyTries => {
                "Too many wrong passwords or codes from this device or under this name."
            }
            LoginOutcome::RouterLogin => "Logged in to the router itself.",
            LoginOutcome::UnknownRouterLogin => {
                "Tried to log in to the router itself; nobody of this name may."
            }
            LoginOutcome::WrongRouterPassword => {
                "Tried to log in to the router itself; the password is wrong."
            }
            LoginOutcome::TooManyRouterTries => {
                "Tried to log in to the router itself; too many wrong passwords came from there."
            }
        };
        fixed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_read_back_from_its_words() {
        let mut all = vec![
            LoginOutcome::Accepted,
            LoginOutcome::UnknownUser,
            LoginOutcome::WrongPassword,
            LoginOutcome::LeaseOver,
            LoginOutcome::VoucherExpired,
            LoginOutcome::VoucherElsewhere,
            LoginOutcome::NotStored,
            LoginOutcome::TooManyTries,
        ];
        all.extend(Reason::REFUSALS.map(LoginOutcome::Refused));
        all.extend(Reason::REFUSALS.map(LoginOutcome::Garden));
        for outcome in all {
            let (word, reason) = outcome.code();
            assert_eq!(LoginOutcome::from_code(word, reason), Some(outcome));
        }
        assert_eq!(LoginOutcome::from_code("REFUSED", None), None);
        assert_eq!(LoginOutcome::from_code("LATER", None), None);
    }
}
