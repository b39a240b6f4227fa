//! Users of the router's own (`/ppp secret`, `/ip hotspot user`). Local users win: who has one here is let in
//! or refused by it, and RADIUS is not asked.

use super::Router;
use super::session::Service;
use super::subscriber::{Dial, Subscriber};

/// A user of the router's own.
#[derive(Clone, Debug)]
pub(super) struct LocalUser {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) service: Service,
    pub(super) disabled: bool,
    /// What else stands in his row.
    pub(super) says: Vec<(&'static str, String)>,
}

impl Router {
    /// Enters a user on the router itself.
    pub fn add_user(&self, service: Service, name: &str, password: &str) {
        self.add_user_with(service, name, password, &[]);
    }

    /// Enters one of whom more is said, by the router's names for it.
    pub fn add_user_with(
        &self,
        service: Service,
        name: &str,
        password: &str,
        says: &[(&'static str, &str)],
    ) {
        let says = says
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let user = LocalUser {
            name: name.to_owned(),
            password: password.to_owned(),
            service,
            disabled: false,
            says: says.collect(),
        };
        self.change(|state| state.users.push(user));
    }

    /// Switches the users of this name off, or on again.
    pub fn disable_user(&self, name: &str, disabled: bool) {
        self.change(|state| {
            let named = state.users.iter_mut().filter(|user| user.name == name);
            named.for_each(|user| user.disabled = disabled);
        });
    }

    /// Takes the users of this name off.
    pub fn remove_user(&self, name: &str) {
        self.change(|state| state.users.retain(|user| user.name != name));
    }

    /// How the user of the router's own of this name answers; `None` where there is none.
    pub(super) fn answer_locally(&self, asks: &Subscriber) -> Option<Dial> {
        let known = self.state().users.iter().find_map(|user| {
            let his = user.name == asks.name && user.service == asks.service && !user.disabled;
            his.then(|| user.password == asks.password)
        })?;
        Some(match known {
            true => Dial::Online(self.list_user(asks.service, &asks.name, &asks.mac)),
            false => Dial::Rejected(String::new()),
        })
    }
}
