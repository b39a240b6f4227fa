//! Why a router that is brought up did not come to its end, and what is said of it.

use super::Refusal;
use super::draft::Knows;
use crate::routeros::ApiError;

/// Why it did not come to its end.
pub(super) enum Stop {
    /// The router says no, or serves nothing: it is undone.
    No(String),
    /// Nobody knows: it is asked again.
    Silent(String),
    /// It knows none of the passwords that this box has: it is asked again after longer and longer pauses, and
    /// not for long, for somebody gave its login another one.
    Shut(String),
}

impl Stop {
    pub(super) fn why(&self) -> &str {
        match self {
            Stop::No(why) | Stop::Silent(why) | Stop::Shut(why) => why,
        }
    }

    /// What is said of the login of a router that serves all the same; `knows` is what this box knows it by.
    pub(super) fn of_its_login(&self, knows: Knows) -> String {
        match (self, knows) {
            (Stop::Shut(why), _) => format!("But {why}."),
            (Stop::No(why) | Stop::Silent(why), Knows::First) => {
                format!("{KEEPS_ITS_PASSWORD} ({why})")
            }
            (Stop::No(why) | Stop::Silent(why), Knows::Last) => {
                format!("It did not answer after the password of its login was changed ({why}).")
            }
            (Stop::No(why) | Stop::Silent(why), Knows::Was) => {
                format!("But it did not answer any more ({why}).")
            }
        }
    }
}

impl From<ApiError> for Stop {
    fn from(cause: ApiError) -> Stop {
        match cause {
            ApiError::Refused(trap) => Stop::No(trap.message),
            ApiError::OutOfRange => Stop::No(cause.to_string()),
            ApiError::NotSetUp
            | ApiError::Unreachable(_)
            | ApiError::Shut
            | ApiError::TimedOut
            | ApiError::OtherCertificate
            | ApiError::Tls(_)
            | ApiError::Protocol(_)
            | ApiError::LoginRefused(_)
            | ApiError::TooMuch
            | ApiError::Closed(_)
            | ApiError::Busy => Stop::Silent(cause.to_string()),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Silent(refusal.to_string())
    }
}

/// What is to be done by hand where it serves under the first one.
pub(super) const KEEPS_ITS_PASSWORD: &str =
    "Its login keeps the password that travelled over this network: give it another one.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Who gave it another one where it has the last one already would shut the box out.
    #[test]
    fn another_password_is_asked_for_only_where_the_one_that_travelled_counts() {
        let why = || "it is off".to_owned();
        let stops = [Stop::No(why()), Stop::Silent(why()), Stop::Shut(why())];
        for knows in [Knows::First, Knows::Last, Knows::Was] {
            for stop in &stops {
                let said = stop.of_its_login(knows);
                assert!(said.contains("it is off"), "{said}");
                let keeps = knows == Knows::First && !matches!(stop, Stop::Shut(_));
                assert_eq!(said.contains("keeps the password"), keeps, "{said}");
                let changed = knows == Knows::Last && !matches!(stop, Stop::Shut(_));
                assert_eq!(said.contains("was changed"), changed, "{said}");
            }
        }
    }
}
