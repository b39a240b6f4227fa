//! Why a version is kept.

use easyisp_shared::wire::configuration::ConfigurationWhy;
use serde::Serialize;
use utoipa::ToSchema;

/// Why a version is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Reason {
    /// There was none before.
    First,
    /// Somebody changed something, by hand or by another program.
    Seen,
    /// The platform did, perhaps somebody else meanwhile too.
    Setup,
    /// It was asked for, and was otherwise than the one before.
    Request,
}

impl Reason {
    /// Of what an agent said.
    pub fn of(why: ConfigurationWhy, is_first: bool) -> Reason {
        match why {
            _ if is_first => Reason::First,
            ConfigurationWhy::Looked => Reason::Seen,
            ConfigurationWhy::Ours => Reason::Setup,
            ConfigurationWhy::Asked => Reason::Request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_is_the_first_whoever_wanted_it() {
        assert_eq!(Reason::of(ConfigurationWhy::Asked, true), Reason::First);
        assert_eq!(Reason::of(ConfigurationWhy::Looked, false), Reason::Seen);
    }
}
