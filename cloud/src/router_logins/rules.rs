//! What may be said of a router login.

use easyisp_shared::id::RouterId;
use secrecy::{ExposeSecret, SecretString};

use crate::auth;
use crate::error::{FieldError, Wrong};

/// Most logins of one tenant: they are people.
pub const MOST: i64 = 200;

/// What a request says. `None`: not mentioned.
#[derive(Default)]
pub struct Change {
    /// What he types.
    pub username: Option<String>,
    /// A new password; masked ones are taken out before.
    pub password: Option<SecretString>,
    /// The router's `/user group`.
    pub group: Option<String>,
    /// The only router; `Some(None)` = every one.
    pub router: Option<Option<RouterId>>,
}

/// A login without its password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// What he types.
    pub username: String,
    /// The router's `/user group`.
    pub group: String,
    /// The only router; `None` = every one.
    pub router: Option<RouterId>,
}

/// The login that a request makes from the one before. A password is needed once.
pub fn draft(change: &Change, before: Option<Draft>) -> Result<Draft, Vec<FieldError>> {
    let mut wrong = Wrong::default();
    if let Some(password) = &change.password {
        let name = change.username.as_deref();
        let name = name.or(before.as_ref().map(|before| before.username.as_str()));
        let name = name.unwrap_or_default().to_lowercase();
        if let Err(error) = auth::check_password("password", password, &name) {
            wrong.add(&error.field, &error.message);
        } else if !password.expose_secret().is_ascii() {
            wrong.add("password", "must be ASCII: routers send nothing else");
        }
    } else if before.is_none() {
        wrong.add("password", "is required");
    }
    let known = before.as_ref();
    let username = change.username.as_deref().map(str::trim);
    let username = username.or(known.map(|before| before.username.as_str()));
    let username = username.unwrap_or_default().to_owned();
    if !is_name(&username, "_.#-@") {
        let what = "must be 1 to 32 letters, digits or one of _ . # - @, as RouterOS takes them";
        wrong.add("username", what);
    }
    let group = change.group.as_deref().map(str::trim);
    let group = group.or(known.map(|before| before.group.as_str()));
    let group = group.unwrap_or("read").to_owned();
    if !is_name(&group, "_.-") {
        let what = "must be a /user group of the routers, such as read, write or full";
        wrong.add("group", what);
    }
    let router = change
        .router
        .unwrap_or(known.and_then(|before| before.router));
    wrong.none_or(Draft {
        username,
        group,
        router,
    })
}

fn is_name(name: &str, others: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn change(username: &str, password: &str, group: &str) -> Change {
        Change {
            username: Some(username.to_owned()),
            password: Some(SecretString::from(password)),
            group: Some(group.to_owned()),
            router: None,
        }
    }

    #[test]
    fn a_login_says_what_is_wrong_with_it() {
        let fields = |change: Change| {
            let errors = draft(&change, None).unwrap_err();
            errors
                .into_iter()
                .map(|error| error.field)
                .collect::<Vec<_>>()
        };
        assert_eq!(fields(Change::default()), ["password", "username"]);
        assert_eq!(fields(change("noc", "short", "read")), ["password"]);
        assert_eq!(
            fields(change("noc", "grüne wiese am see", "read")),
            ["password"]
        );
        assert_eq!(
            fields(change("n o c", "zebra-quilt-moon", "read")),
            ["username"]
        );
        assert_eq!(
            fields(change("noc", "zebra-quilt-moon", "full\"")),
            ["group"]
        );
        assert_eq!(
            fields(change("zebra-quilt-moon", "zebra-quilt-moon", "read")),
            ["password"]
        );
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let made = draft(&change("noc", "zebra-quilt-moon", "full"), None).unwrap();
        assert_eq!(
            (&*made.username, &*made.group, made.router),
            ("noc", "full", None)
        );
        let after = draft(&Change::default(), Some(made.clone())).unwrap();
        assert_eq!(after, made);
    }
}
