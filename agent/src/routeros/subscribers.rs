//! The users of a router's own with all that is said of them, to be taken over. Their passwords are among it: they are
//! read for whoever asks and kept nowhere, but in memory until he has the last page (`lists`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use easyisp_shared::wire::question::{RouterUserV1, SubscribersPlaceV1, SubscribersV1, fitting};

use super::RouterApis;
use super::connection::ApiError;
use super::sentence::{Command, Row};
use crate::site::Router;

/// What came of asking for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Some of them.
    Users(SubscribersV1),
    /// Their passwords are shown to others only; a sentence for a person.
    Hidden(String),
}

impl RouterApis {
    /// As many users of a router's own as an answer holds, from that place on.
    ///
    /// A page is of one list, which is read whole for the first one: RouterOS knows no pages. Those that follow are of the
    /// same reading, while it is held.
    pub async fn subscribers(
        &self,
        router: &Router,
        from: Option<SubscribersPlaceV1>,
        within: Duration,
    ) -> Result<Told, ApiError> {
        let from = from.unwrap_or(FIRST);
        let held = self.lists.of(router.id, from.hotspot, Instant::now());
        if let Some(rows) = held.filter(|_| from.after.is_some()) {
            return Ok(Told::Users(self.told(router, from, &rows)));
        }
        let rows = match self.ask(router, list(from.hotspot), within).await {
            Ok(answer) => answer.rows,
            // A package that is not installed has no users.
            Err(ApiError::Refused(trap)) if trap.is_missing_command() => Vec::new(),
            Err(cause) => return Err(cause),
        };
        if shows_no_password(&rows) {
            let may_see = self.may_see(router, within).await?;
            let user = router.api_access().map(|access| access.access.user);
            if let Some(why) = hidden(may_see, &router.name, &user.unwrap_or_default()) {
                return Ok(Told::Hidden(why));
            }
        }
        let rows = Arc::new(rows);
        let now = Instant::now();
        self.lists.hold(router.id, from.hotspot, rows.clone(), now);
        let told = self.told(router, from, &rows);
        if goes_on(&told) {
            self.lists.go_in_time();
        }
        Ok(Told::Users(told))
    }

    /// A page; after the last one of a list it is held no longer.
    fn told(&self, router: &Router, from: SubscribersPlaceV1, rows: &[Row]) -> SubscribersV1 {
        let hotspot = from.hotspot;
        let told = page(from, rows);
        if !goes_on(&told) {
            self.lists.forget(router.id, hotspot, Instant::now());
        }
        told
    }

    /// Whether the login by which the agent comes in has the right to see passwords; `None` where the router does not
    /// say: one that is let in by RADIUS is no user of its own.
    async fn may_see(&self, router: &Router, within: Duration) -> Result<Option<bool>, ApiError> {
        let Some(access) = router.api_access() else {
            return Ok(None);
        };
        let user = Command::new("/user/print").only("group");
        let user = user.having("name", access.access.user.as_bytes());
        let Some(group) = self.first(router, user, "group", within).await? else {
            return Ok(None);
        };
        let policy = Command::new("/user/group/print").only("policy");
        let policy = policy.having("name", &group);
        let policy = self.first(router, policy, "policy", within).await?;
        Ok(policy.as_deref().map(sees))
    }

    /// A property of the first row; `None` where there is none, or the router does not show it.
    async fn first(
        &self,
        router: &Router,
        command: Command,
        property: &str,
        within: Duration,
    ) -> Result<Option<Vec<u8>>, ApiError> {
        match self.ask(router, command, within).await {
            Ok(answer) => {
                let row = answer.rows.first();
                Ok(row.and_then(|row| row.octets(property)).map(<[u8]>::to_vec))
            }
            Err(ApiError::Refused(_)) => Ok(None),
            Err(cause) => Err(cause),
        }
    }
}

fn list(hotspot: bool) -> Command {
    match hotspot {
        false => Command::new("/ppp/secret/print").only(
            ".id,name,service,caller-id,password,profile,local-address,remote-address,remote-ipv6-prefix,routes,\
             ipv6-routes,limit-bytes-in,limit-bytes-out,disabled,comment",
        ),
        true => Command::new("/ip/hotspot/user/print").only(
            ".id,server,name,password,profile,address,mac-address,routes,email,limit-uptime,limit-bytes-in,\
             limit-bytes-out,limit-bytes-total,dynamic,disabled,comment",
        ),
    }
}

/// Whether there are users, and none of them has a password: a router leaves out what a login may not see, or writes
/// stars in its place.
fn shows_no_password(rows: &[Row]) -> bool {
    let shows = |row: &Row| {
        let password = row.octets("password").unwrap_or_default();
        password.iter().any(|octet| *octet != b'*')
    };
    rows.iter().any(is_subscriber) && !rows.iter().any(shows)
}

/// The users of one list from that place on.
fn page(from: SubscribersPlaceV1, rows: &[Row]) -> SubscribersV1 {
    let mut rows: Vec<(u64, &Row)> = rows
        .iter()
        .filter(|row| is_subscriber(row))
        .filter_map(|row| Some((number(row)?, row)))
        .filter(|(number, _)| from.after.is_none_or(|after| *number > after))
        .collect();
    rows.sort_unstable_by_key(|(number, _)| *number);
    // A router that is busy may tell one twice.
    rows.dedup_by_key(|(number, _)| *number);
    let mut users: Vec<RouterUserV1> = rows
        .iter()
        .map(|(_, row)| user(from.hotspot, row))
        .collect();
    let fits = fitting(&users);
    let last = fits.checked_sub(1).and_then(|last| rows.get(last));
    let next = match last.filter(|_| fits < users.len()) {
        Some((number, _)) => Some(SubscribersPlaceV1 {
            hotspot: from.hotspot,
            after: Some(*number),
        }),
        None if from.hotspot => None,
        None => Some(SubscribersPlaceV1 {
            hotspot: true,
            after: None,
        }),
    };
    users.truncate(fits);
    SubscribersV1 { users, next }
}

/// Whether the next page is of the same list.
fn goes_on(told: &SubscribersV1) -> bool {
    let next = told.next.as_ref();
    next.is_some_and(|next| next.after.is_some())
}

/// Neither what the router makes of itself, such as a trial's user, nor the pattern for these.
fn is_subscriber(row: &Row) -> bool {
    row.flag("dynamic") != Some(true) && row.octets("name") != Some(b"default-trial")
}

/// `*1A` is 26.
fn number(row: &Row) -> Option<u64> {
    u64::from_str_radix(row.text(".id")?.strip_prefix('*')?, 16).ok()
}

fn user(hotspot: bool, row: &Row) -> RouterUserV1 {
    let says = row.all().filter(|(name, value)| {
        !matches!(*name, ".id" | "dynamic") && !value.is_empty() && value.len() <= LONGEST
    });
    RouterUserV1 {
        hotspot,
        says: says
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect(),
    }
}

/// Whether a group with these policies shows passwords.
fn sees(policy: &[u8]) -> bool {
    policy.split(|octet| *octet == b',').any(|one| one == SEES)
}

/// Why no password is told of by the router of that name; `None` where there is none to be hidden. Whether there is
/// nobody knows where the router does not say what its login may see.
fn hidden(may_see: Option<bool>, name: &str, user: &str) -> Option<String> {
    match may_see {
        Some(true) => None,
        Some(false) => Some(format!(
            "the router {name} shows no passwords to the login {user}: its group lacks `sensitive`. Take a new command \
             from the wizard (POST /api/wizard/start) and paste it there, or add that policy to the group by hand"
        )),
        None => Some(format!(
            "the router {name} told of no password, and did not say whether its login {user} may see any. Where its \
             users have none, send the router's export; otherwise take a new command from the wizard \
             (POST /api/wizard/start) and paste it there"
        )),
    }
}

const FIRST: SubscribersPlaceV1 = SubscribersPlaceV1 {
    hotspot: false,
    after: None,
};
const SEES: &[u8] = b"sensitive";
/// Octets of one property; a longer one is a text that somebody keeps there, and would not fit an answer.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::routeros::sentence::{Reply, read};

    fn row(words: &[&str]) -> Row {
        let words = ["!re"].iter().chain(words);
        let words: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).collect();
        match read(&words).unwrap() {
            (_, Reply::Row(row)) => row,
            (_, other) => panic!("a row, not {other:?}"),
        }
    }

    #[test]
    fn every_user_stands_on_one_page_whatever_the_order_of_the_list() {
        let comment = format!("=comment={}", "x".repeat(3000));
        let ids: Vec<u64> = (1..=250).rev().collect();
        let rows: Vec<Row> = ids
            .iter()
            .map(|id| {
                row(&[
                    &format!("=.id=*{id:X}"),
                    &format!("=name=user{id}"),
                    &comment,
                ])
            })
            .collect();
        let mut told = Vec::new();
        let mut from = FIRST;
        let mut pages = 0;
        while !from.hotspot {
            let page = page(from, &rows);
            pages += 1;
            told.extend(page.users);
            from = page.next.unwrap();
        }
        assert_eq!((told.len(), pages, from.after), (250, 3, None));
        assert_eq!(told[249].says[0], ("name".to_owned(), b"user250".to_vec()));
        let last = page(from, &rows[..1]);
        assert_eq!((last.users.len(), last.next), (1, None));
    }

    #[test]
    fn hidden_is_a_list_of_which_nobody_has_a_password() {
        let jane = || row(&["=.id=*1", "=name=jane", "=password=word"]);
        let stars = || row(&["=.id=*2", "=name=joe", "=password=*****"]);
        let bare = || row(&["=.id=*3", "=name=card"]);
        let trial = || row(&["=.id=*0", "=name=default-trial"]);
        let visitor = || row(&["=.id=*4", "=name=T-AA", "=dynamic=true"]);
        assert!(shows_no_password(&[stars(), bare()]));
        assert!(!shows_no_password(&[stars(), jane()]));
        assert!(!shows_no_password(&[trial(), visitor()]));
        assert!(!shows_no_password(&[]));
        assert_eq!(
            page(FIRST, &[trial(), visitor(), jane(), jane()])
                .users
                .len(),
            1
        );
    }

    /// A login that comes in by RADIUS is no user of the router: what its group lacks is not known.
    #[test]
    fn a_group_is_blamed_only_where_the_router_told_of_it() {
        assert!(sees(b"api,read,sensitive,test") && !sees(b"api,read,!sensitive"));
        let said = |may_see| hidden(may_see, "Tower", "agent").unwrap_or_default();
        assert_eq!(said(Some(true)), "");
        assert!(said(Some(false)).contains("lacks `sensitive`"));
        assert!(said(None).contains("did not say whether its login agent may see any"));
        assert!(!said(None).contains("lacks"));
    }
}
