//! What the platform agreed with a tenant, and how that changes: pure, `now` is an argument.

use std::time::Duration;

use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::tz::TimeZone;

use crate::auth::TenantStatus;
use crate::error::ApiError;

/// How a tenant stands from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The stored status.
    pub status: TenantStatus,
    /// When it first became more than a trial.
    pub activated_at: Option<Timestamp>,
    /// When the trial ends.
    pub trial_ends_at: Option<Timestamp>,
    /// When what it paid ends; `None` = never.
    pub subscription_ends_at: Option<Timestamp>,
}

/// How long a subscription goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Longer {
    /// So many months from its end, or from now where that has passed.
    Months(u32),
    /// To this moment.
    Until(Timestamp),
}

/// Why terms do not change so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TermsError {
    /// It is suspended already.
    #[error("This tenant is suspended already")]
    Suspended,
    /// It is not suspended.
    #[error("This tenant is not suspended; to give it more time, extend its trial or subscription")]
    NotSuspended,
    /// It is past its trial.
    #[error("This tenant is past its trial; extend its subscription instead")]
    PastTrial,
    /// It has no end.
    #[error("This tenant's subscription never ends; give subscriptionEndsAt to let it end")]
    NeverEnds,
    /// The end has passed.
    #[error("The new end has passed already; choose one that comes")]
    EndPassed,
}

impl Terms {
    /// A subscription from now, for so many months or without end.
    pub fn activated(self, months: Option<u32>, zone: &TimeZone, now: Timestamp) -> Terms {
        Terms {
            status: TenantStatus::Active,
            activated_at: self.activated_at.or(Some(now)),
            trial_ends_at: None,
            subscription_ends_at: months.map(|months| later(now, months, zone)),
        }
    }

    /// Stopped, with everything agreed as it was.
    pub fn suspended(self) -> Result<Terms, TermsError> {
        match self.status {
            TenantStatus::Suspended => Err(TermsError::Suspended),
            TenantStatus::Trial | TenantStatus::Active | TenantStatus::Expired => Ok(Terms {
                status: TenantStatus::Suspended,
                ..self
            }),
        }
    }

    /// As it was before it was suspended.
    pub fn reactivated(self) -> Result<Terms, TermsError> {
        match self.status {
            TenantStatus::Suspended => Ok(Terms {
                status: self.unsuspended(),
                ..self
            }),
            TenantStatus::Trial | TenantStatus::Active | TenantStatus::Expired => {
                Err(TermsError::NotSuspended)
            }
        }
    }

    /// So many days more to try, from the trial's end or from now where that has passed.
    pub fn trial_extended(self, days: u32, now: Timestamp) -> Result<Terms, TermsError> {
        let Some(end) = self.trial_ends_at else {
            return Err(TermsError::PastTrial);
        };
        let days = Duration::from_secs(u64::from(days) * 86_400);
        Ok(Terms {
            status: self.but_suspended(TenantStatus::Trial),
            trial_ends_at: Some(end.max(now).plus(days)),
            ..self
        })
    }

    /// More of the subscription; a tenant on trial gets one. A suspended one stays suspended.
    pub fn extended(
        self,
        longer: Longer,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Terms, TermsError> {
        let end = match (longer, self.subscription_ends_at) {
            (Longer::Until(end), _) if end <= now => return Err(TermsError::EndPassed),
            (Longer::Until(end), _) => end,
            (Longer::Months(_), None) if self.trial_ends_at.is_none() => {
                return Err(TermsError::NeverEnds);
            }
            (Longer::Months(months), end) => later(end.unwrap_or(now).max(now), months, zone),
        };
        Ok(Terms {
            status: self.but_suspended(TenantStatus::Active),
            activated_at: self.activated_at.or(Some(now)),
            trial_ends_at: None,
            subscription_ends_at: Some(end),
        })
    }

    fn unsuspended(self) -> TenantStatus {
        match self.trial_ends_at {
            Some(_) => TenantStatus::Trial,
            None => TenantStatus::Active,
        }
    }

    fn but_suspended(self, status: TenantStatus) -> TenantStatus {
        match self.status {
            TenantStatus::Suspended => TenantStatus::Suspended,
            TenantStatus::Trial | TenantStatus::Active | TenantStatus::Expired => status,
        }
    }
}

/// The same day and hour so many months later, or that month's last day.
fn later(from: Timestamp, months: u32, zone: &TimeZone) -> Timestamp {
    let local = from.in_zone(zone);
    let end = local.checked_add(i64::from(months).months());
    end.map_or(from, |end| Timestamp::from_jiff(end.timestamp()))
}

impl From<TermsError> for ApiError {
    fn from(error: TermsError) -> ApiError {
        let code = match error {
            TermsError::Suspended => "ALREADY_SUSPENDED",
            TermsError::NotSuspended => "NOT_SUSPENDED",
            TermsError::PastTrial => "PAST_TRIAL",
            TermsError::NeverEnds => "NEVER_ENDS",
            TermsError::EndPassed => {
                return ApiError::field("subscriptionEndsAt", "must be in the future");
            }
        };
        ApiError::conflict(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn trial(end: &str) -> Terms {
        Terms {
            status: TenantStatus::Trial,
            activated_at: None,
            trial_ends_at: Some(at(end)),
            subscription_ends_at: None,
        }
    }

    #[test]
    fn months_follow_the_calendar_and_begin_where_the_last_ended() {
        let zone = TimeZone::UTC;
        let now = at("2027-01-31T09:00:00Z");
        let active = trial("2027-02-02T00:00:00Z").activated(Some(1), &zone, now);
        assert_eq!(
            active.subscription_ends_at,
            Some(at("2027-02-28T09:00:00Z"))
        );
        assert_eq!(active.activated_at, Some(now));
        let more = active.extended(Longer::Months(1), &zone, now).unwrap();
        assert_eq!(more.subscription_ends_at, Some(at("2027-03-28T09:00:00Z")));
        let late = at("2027-06-01T00:00:00Z");
        let again = active.extended(Longer::Months(1), &zone, late).unwrap();
        assert_eq!(again.subscription_ends_at, Some(at("2027-07-01T00:00:00Z")));
    }

    #[test]
    fn what_was_agreed_outlives_a_suspension() {
        let before = trial("2027-02-02T00:00:00Z");
        let stopped = before.suspended().unwrap();
        assert_eq!(stopped.suspended(), Err(TermsError::Suspended));
        assert_eq!(stopped.reactivated(), Ok(before));
        assert_eq!(before.reactivated(), Err(TermsError::NotSuspended));
        let now = at("2027-02-05T00:00:00Z");
        let longer = stopped.trial_extended(7, now).unwrap();
        assert_eq!(longer.status, TenantStatus::Suspended);
        assert_eq!(longer.trial_ends_at, Some(at("2027-02-12T00:00:00Z")));
    }

    #[test]
    fn what_never_ends_is_not_made_longer() {
        let now = at("2027-01-31T09:00:00Z");
        let forever = trial("2027-02-02T00:00:00Z").activated(None, &TimeZone::UTC, now);
        let longer = |longer| forever.extended(longer, &TimeZone::UTC, now);
        assert_eq!(longer(Longer::Months(1)), Err(TermsError::NeverEnds));
        assert_eq!(longer(Longer::Until(now)), Err(TermsError::EndPassed));
        let end = at("2028-01-01T00:00:00Z");
        assert_eq!(
            longer(Longer::Until(end)).unwrap().subscription_ends_at,
            Some(end)
        );
        assert_eq!(forever.trial_extended(1, now), Err(TermsError::PastTrial));
    }
}
