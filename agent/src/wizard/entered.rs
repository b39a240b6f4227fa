//! In which way a router lets the box in: each that it may know is tried, and the password that travelled is changed.

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::router::SystemV1;

use super::draft::{Draft, Knows, Was};
use super::stop::{KEEPS_ITS_PASSWORD, Stop};
use super::work::READ;
use super::{Refusal, Wizard};
use crate::routeros::ApiError;
use crate::site::Router;

impl Wizard {
    /// Enters the router in the way that it knows: another one where this box died as it changed it, and where one that
    /// serves did not import what its last command brought. Which one that is is written down once it let the box in.
    pub(super) async fn enter(&self, draft: &Draft) -> Result<SystemV1, Stop> {
        let id = draft.router;
        self.learn(id).await?;
        let draft = self.find(id).ok_or(Refusal::Over)?;
        let (mut said, mut silent, mut anothers) = (String::new(), None, None);
        for login in draft.logins() {
            self.bring_as(&draft, &login.is)?;
            let router = self.router(id)?;
            match self.parts.apis.system(&router, READ).await {
                Ok(system) => {
                    let another = draft.anothers(&system.serial);
                    if another.is_some() {
                        anothers = another;
                        continue;
                    }
                    if !draft.sure || draft.login().as_ref() != Some(&login.is) {
                        self.change(id, |draft| {
                            draft.entered(&login);
                            Ok(())
                        })
                        .await?;
                    }
                    return Ok(system);
                }
                Err(ApiError::LoginRefused(words)) => said = words,
                Err(cause @ ApiError::Refused(_)) => return Err(cause.into()),
                // Another board may be where it called from, and nobody where it was.
                Err(cause) => silent = silent.or(Some(cause)),
            }
        }
        if draft.sure {
            self.unsure(id).await?;
        }
        self.bring(&draft)?;
        if let Some(why) = anothers {
            return Err(Stop::Shut(why));
        }
        Err(match silent {
            Some(cause) => cause.into(),
            None => Stop::Shut(format!(
                "the router refuses the agent's login ({said}): somebody gave it another password, or took it away; the \
                 next command brings a new one"
            )),
        })
    }

    /// In which way it is entered is not known any more.
    async fn unsure(&self, id: RouterId) -> Result<(), Refusal> {
        self.change(id, |draft| {
            draft.sure = false;
            Ok(())
        })
        .await
    }

    /// Takes what the cloud said of it since: its own word counts no more than the cloud's until it got in.
    async fn learn(&self, id: RouterId) -> Result<(), Stop> {
        let Some(known) = self.known(id) else {
            return Ok(());
        };
        if self.find(id).is_some_and(|draft| draft.is_news(&known)) {
            self.change(id, |draft| {
                draft.learn(known);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Gives the login that came in the clear another password; what is to be said where the router has no such command.
    pub(super) async fn shut_behind(&self, draft: &Draft, router: &Router) -> Result<String, Stop> {
        match draft.knows {
            Knows::First => {}
            // What travelled is not what it knows.
            Knows::Last | Knows::Was => return Ok(String::new()),
        }
        let (old, new) = (&draft.first_password, &draft.password);
        match self
            .parts
            .apis
            .change_password(router, old, new, READ)
            .await
        {
            Ok(()) => {}
            Err(ApiError::Refused(_)) => return Ok(format!(" {KEEPS_ITS_PASSWORD}")),
            Err(cause) => {
                self.unsure(draft.router).await?; // it may have taken it
                return Err(cause.into());
            }
        }
        let changed = self.change(draft.router, |draft| {
            draft.knows = Knows::Last;
            Ok(draft.clone())
        });
        let changed = changed.await?;
        self.bring(&changed)?;
        let router = self.router(draft.router)?;
        self.parts.apis.system(&router, READ).await?;
        self.note(draft.router, "Changed the password of its login".to_owned())
            .await?;
        Ok(String::new())
    }

    /// Has the site know it as it is kept.
    pub(super) fn bring(&self, draft: &Draft) -> Result<(), Stop> {
        let login = draft.login().ok_or(Refusal::Over)?;
        self.bring_as(draft, &login)
    }

    fn bring_as(&self, draft: &Draft, login: &Was) -> Result<(), Stop> {
        let site = &self.parts.site;
        let row = draft.row_by(site, login);
        match site.bring(row, draft.before(site)) {
            true => Ok(()),
            false => Err(Stop::No("it was deleted in the cloud".to_owned())),
        }
    }
}
