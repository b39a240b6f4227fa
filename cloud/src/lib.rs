//! The control plane. Folders in order: commons, things, deeds, doors; each calls only those above it.

pub mod config;
pub mod metrics;
pub mod db;
pub mod secrets;
pub mod error;
pub mod outbound;
pub mod mail;
pub mod due;
pub mod turns;

pub mod ledger;
pub mod audit;
pub mod permission;

pub mod api;
pub mod auth;

pub mod sites;

pub mod tenants;
pub mod operators;
pub mod trail;
pub mod pictures;

pub mod webhooks;

pub mod commands;

pub mod packages;

pub mod routers;

pub mod customers;

pub mod monitoring;
pub mod moving;
pub mod wizard;

pub mod sessions;

pub mod logs;
pub mod control;
pub mod configurations;
pub mod rollouts;

pub mod messaging;

pub mod renewals;
pub mod courtesy;
pub mod outages;
pub mod alerts;
pub mod router_logins;

pub mod payments;

pub mod vouchers;

pub mod finance;
pub mod invoices;
pub mod billing;
pub mod fiscal;
pub mod imports;
pub mod exports;

pub mod privacy;

pub mod diagnosis;

pub mod sync;
pub mod nodes;
pub mod access;
pub mod jobs;
pub mod portal;
pub mod platform;
pub mod dashboard;

pub mod health;

mod app;
mod cloud;

pub use app::App;
pub use cloud::{Cloud, DatabaseSource, Options, Store};

use api::Routes;
use db::{Kind, Projectors};
use easyisp_shared::wire::UpKind;
use jobs::{Jobs, Outcome};
use secrets::Secrets;
use sites::reports::Appliers;

/// Every feature's routes, in the order of the folders.
pub fn routes() -> Routes {
    Routes::new()
        .merge(auth::routes())
        .merge(sites::routes())
        .merge(tenants::routes())
        .merge(operators::routes())
        .merge(trail::routes())
        .merge(pictures::routes())
        .merge(webhooks::routes())
        .merge(packages::routes())
        .merge(routers::routes())
        .merge(customers::routes())
        .merge(moving::routes())
        .merge(wizard::routes())
        .merge(router_logins::routes())
        .merge(sessions::routes())
        .merge(monitoring::routes())
        .merge(logs::routes())
        .merge(control::routes())
        .merge(configurations::routes())
        .merge(rollouts::routes())
        .merge(renewals::routes())
        .merge(courtesy::routes())
        .merge(outages::routes())
        .merge(alerts::routes())
        .merge(payments::routes())
        .merge(vouchers::routes())
        .merge(finance::routes())
        .merge(invoices::routes())
        .merge(billing::routes())
        .merge(fiscal::routes())
        .merge(imports::routes())
        .merge(exports::routes())
        .merge(privacy::routes())
        .merge(diagnosis::routes())
        .merge(access::routes())
        .merge(jobs::routes())
        .merge(portal::routes())
        .merge(platform::routes())
        .merge(dashboard::routes())
        .merge(health::routes())
}

/// What agents must know: which feature projects which kind.
pub fn projectors(secrets: &Secrets) -> Projectors {
    Projectors::default()
        .with(Kind::Policy, tenants::edge::projector(secrets.clone()))
        .with(Kind::Command, commands::edge::projector())
        .with(Kind::Package, packages::edge::projector())
        .with(Kind::Voucher, vouchers::edge::projector())
        .with(Kind::Router, routers::edge::projector(secrets.clone()))
        .with(
            Kind::Subscriber,
            customers::edge::projector(secrets.clone()),
        )
        .with(Kind::Moving, moving::edge::projector(secrets.clone()))
        .with(
            Kind::RouterLogin,
            router_logins::edge::projector(secrets.clone()),
        )
        .with(
            Kind::Monitored,
            monitoring::edge::projector(secrets.clone()),
        )
        .listed(Kind::Policy, tenants::edge::lister())
        .listed(Kind::Command, commands::edge::lister())
        .listed(Kind::Package, packages::edge::lister())
        .listed(Kind::Router, routers::edge::lister())
        .listed(Kind::Moving, moving::edge::lister())
        .listed(Kind::RouterLogin, router_logins::edge::lister())
        .listed(Kind::Monitored, monitoring::edge::lister())
        .listed(Kind::Subscriber, customers::edge::lister())
}

/// What agents report: which feature applies which kind.
pub fn appliers(secrets: &Secrets) -> Appliers {
    Appliers::default()
        .with(
            UpKind::Redemption,
            vouchers::edge::redemptions(secrets.clone()),
        )
        .with(UpKind::BroughtUp, wizard::edge::brought_up(secrets.clone()))
        .with(UpKind::Keepers, sites::agents::keepers::wishes())
        .with(UpKind::Device, customers::edge::devices())
        .with(UpKind::Bind, customers::edge::binds())
        .with(UpKind::Unlock, customers::edge::unlocks())
        .with(UpKind::Heartbeat, sites::edge::heartbeats())
        .with(UpKind::CommandResult, commands::edge::results())
        .with(UpKind::Accounting, sessions::edge::accounting())
        .with(UpKind::Login, sessions::edge::logins())
        .with(UpKind::Router, routers::edge::states())
        .with(UpKind::LocalSecrets, routers::edge::local_secrets())
        .with(UpKind::Lines, customers::lines::states())
        .with(UpKind::Metrics, monitoring::edge::metrics())
        .with(UpKind::Logs, logs::edge::lines())
        .with(UpKind::Moving, moving::edge::reports())
        .with(
            UpKind::Configuration,
            configurations::edge::configurations(),
        )
}

/// What runs without a request: which feature does which kind of work.
pub fn jobs(app: &App) -> Jobs {
    use Outcome::{Again, Done};

    let again = |when: Option<_>| when.map_or(Done, Again);
    let db = || app.db.clone();
    let (renewals, beginnings) = (db(), db());
    let (reports, settlements) = (app.payments.clone(), app.payments.clone());
    let ways = alerts::Ways {
        sms: app.sender.gateway.is_some(),
        email: app.mail.is_there(),
    };
    let alerts = db();
    let (roams, added, surplus) = (db(), db(), db());
    let (seals, tidies) = (db(), db());
    let (checks, proofs) = (db(), db());
    // One at a time: a whole proof reads all of a tenant's books.
    let proving = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let (watches, reckons, prices) = (db(), db(), db());
    let purges = (db(), app.config.data_dir.join(tenants::purge::FOLDER));
    let (cares, epoch, appliers) = (db(), app.standing.epoch, appliers(&app.secrets));
    let (makes, secrets) = (db(), app.secrets.clone());
    let looks = db();
    let expenses = db();
    let files = (db(), app.secrets.clone());
    let (resumes, follows, reminds, shorts) = (db(), db(), db(), db());
    let (repays, bills, collects, issues) = (db(), db(), db(), db());
    let sales = db();
    let (installs, settles) = (db(), db());
    Jobs::default()
        .with(ledger::SEAL, move |job, now| {
            let db = seals.clone();
            async move { Ok(Again(tenants::jobs::seal(&db, job.tenant, now).await?)) }
        })
        .with(ledger::CHECK, move |job, now| {
            let db = checks.clone();
            async move { Ok(again(ledger::check(&db, job.tenant, now).await?)) }
        })
        .with(ledger::PROVE, move |job, now| {
            let (db, proving) = (proofs.clone(), proving.clone());
            async move {
                let Ok(_turn) = proving.try_acquire_owned() else {
                    return Ok(Again(now.plus(ANOTHER_PROOF)));
                };
                ledger::prove(&db, job.tenant, now).await?;
                Ok(Done)
            }
        })
        .with(tenants::jobs::TIDY, move |job, now| {
            let db = tidies.clone();
            async move {
                let keys = tenants::jobs::tidy(&db, job.tenant, now).await?;
                let sessions = sessions::forget_old(&db, job.tenant, now).await?;
                let lease = tenants::lease::renew(&db, job.tenant, now).await?;
                let told = webhooks::forget_old(&db, job.tenant, now).await?;
                let files = imports::forget_old(&db, job.tenant, now).await?;
                let read = monitoring::forget_old(&db, job.tenant, now).await?;
                let said = logs::forget_old(&db, job.tenant, now).await?;
                let people = privacy::forget_old(&db, job.tenant, now).await?;
                let soonest = keys.min(sessions).min(lease).min(told).min(files);
                Ok(Again(soonest.min(people).min(read).min(said)))
            }
        })
        .with(tenants::purge::PURGE, move |job, now| {
            let (db, folder) = purges.clone();
            async move {
                Ok(again(
                    tenants::purge::purge(&db, &folder, job.tenant, now).await?,
                ))
            }
        })
        .with(renewals::AUTO_RENEW, move |job, now| {
            let db = renewals.clone();
            async move {
                let customer = job.subject.into();
                Ok(again(
                    renewals::auto_renew(&db, job.tenant, customer, now).await?,
                ))
            }
        })
        .with(renewals::BEGIN, move |job, now| {
            let db = beginnings.clone();
            async move {
                renewals::begin(&db, job.tenant, job.subject.into(), now).await?;
                Ok(Done)
            }
        })
        .with(renewals::SHORT, move |job, now| {
            let db = shorts.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                invoices::owed_again(&mut tx, job.subject.into(), now).await?;
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(Done)
            }
        })
        .with(payments::INBOX, move |job, now| {
            let payments = reports.clone();
            async move {
                payments.work(job.tenant, job.subject.into(), now).await?;
                Ok(Done)
            }
        })
        .with(payments::SETTLE, move |job, now| {
            let payments = settlements.clone();
            async move { Ok(again(payments.settle_day(job.tenant, now).await?)) }
        })
        .with(tenants::jobs::WATCH, move |job, now| {
            let db = watches.clone();
            async move {
                let again = sessions::doubt_silent(&db, job.tenant, now).await?;
                outages::watch(&db, job.tenant, now).await?;
                Ok(Again(again))
            }
        })
        .with(tenants::jobs::ALERT, move |job, now| {
            let db = alerts.clone();
            async move { Ok(Again(alerts::look(&db, job.tenant, ways, now).await?)) }
        })
        .with(webhooks::WATCH, move |job, now| {
            let db = looks.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                let wanted = webhooks::wanted(&mut tx, now).await?;
                if let Some(since) = wanted.expiries {
                    customers::tell_expired(&mut tx, since, now).await?;
                }
                if let Some(since) = wanted.routers {
                    routers::tell_changed(&mut tx, since, now).await?;
                }
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(again(wanted.again(now)))
            }
        })
        .with(packages::REPRICED, move |job, now| {
            let db = prices.clone();
            async move {
                let package = job.subject.into();
                customers::reckon_package(&db, job.tenant, package, now).await?;
                Ok(Done)
            }
        })
        .with(packages::ROAMS, move |job, _| {
            let db = roams.clone();
            async move {
                let package = Some(job.subject.into());
                customers::tell_roaming(&db, job.tenant, package).await?;
                Ok(Done)
            }
        })
        .with(sites::ADDED, move |job, _| {
            let db = added.clone();
            async move {
                customers::tell_roaming(&db, job.tenant, None).await?;
                Ok(Done)
            }
        })
        .with(sessions::SURPLUS, move |job, now| {
            let db = surplus.clone();
            async move {
                let customer = job.subject.into();
                Ok(again(
                    sessions::end_surplus(&db, job.tenant, customer, now).await?,
                ))
            }
        })
        .with(vouchers::MAKE, move |job, now| {
            let (db, secrets) = (makes.clone(), secrets.clone());
            async move {
                let batch = job.subject.into();
                Ok(again(
                    vouchers::make(&db, &secrets, job.tenant, batch, now).await?,
                ))
            }
        })
        .with(imports::RUN, move |job, now| {
            let (db, secrets) = files.clone();
            async move {
                let file = (job.tenant, job.subject.into());
                let when = imports::work(&db, &secrets, file, job.attempts, now).await?;
                Ok(again(when))
            }
        })
        .with(tenants::jobs::CARE, move |job, now| {
            let (db, epoch, appliers) = (cares.clone(), epoch, appliers.clone());
            async move {
                let most = Some(sync::REPLAYED_AT_ONCE);
                // Care does not wait for what cannot be applied.
                if let Err(cause) = sync::replay(&db, &appliers, job.tenant, most, now).await {
                    tracing::warn!(%cause, tenant.id = %job.tenant, "What was set aside is not applied yet");
                }
                Ok(Again(sync::care(&db, job.tenant, epoch, now).await?))
            }
        })
        .with(customers::RECKON, move |job, now| {
            let db = reckons.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                match renewals::reckon(&mut tx, job.subject.into(), now).await {
                    // Deleted meanwhile: nothing to reckon.
                    Ok(()) | Err(renewals::RenewError::UnknownCustomer) => {}
                    Err(error) => return Err(error.into()),
                }
                billing::note_plan(&mut tx, job.subject.into(), now).await?;
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(Done)
            }
        })
        .with(finance::RECURRING, move |job, now| {
            let db = expenses.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                let next = finance::post_due(&mut tx, job.subject, now).await?;
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(again(next))
            }
        })
        .with(customers::RESUME, move |job, now| {
            let db = resumes.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                let later = customers::resume(&mut tx, job.subject.into(), now).await?;
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(again(later))
            }
        })
        .with(customers::FOLLOW, move |job, now| {
            let db = follows.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                customers::follow(&mut tx, job.subject.into(), now).await?;
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(Done)
            }
        })
        .with(courtesy::REMIND, move |job, now| {
            let db = reminds.clone();
            async move { Ok(again(courtesy::remind(&db, job.tenant, now).await?)) }
        })
        .with(invoices::ISSUED, move |job, now| {
            let db = issues.clone();
            async move {
                let more = fiscal::take_in(&db, job.tenant, now).await?;
                Ok(if more { Again(now) } else { Done })
            }
        })
        .with(renewals::SOLD, move |job, now| {
            let db = sales.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                invoices::document_sale(&mut tx, job.subject.into(), now).await?;
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(Done)
            }
        })
        .with(renewals::SETTLE, move |job, now| {
            let db = settles.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                invoices::settle(&mut tx, job.subject.into(), now).await?;
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(Done)
            }
        })
        .with(customers::INSTALL, move |job, now| {
            let db = installs.clone();
            async move {
                let mut tx = db.begin(job.tenant).await?;
                invoices::install(&mut tx, job.subject.into(), now).await?;
                job.hold(&mut tx).await?;
                tx.commit().await?;
                Ok(Done)
            }
        })
        .with(billing::BILL, move |job, now| {
            let db = bills.clone();
            async move { Ok(again(billing::bill(&db, job.tenant, now).await?)) }
        })
        .with(customers::COLLECT, move |job, now| {
            let db = collects.clone();
            async move {
                billing::collect(&db, job.tenant, job.subject.into(), now).await?;
                Ok(Done)
            }
        })
        .with(outages::REPAY, move |job, now| {
            let db = repays.clone();
            async move {
                let outage = job.subject.into();
                Ok(again(outages::repay(&db, job.tenant, outage, now).await?))
            }
        })
}

/// When a proof of the books is tried again that another one was in the way of.
const ANOTHER_PROOF: std::time::Duration = std::time::Duration::from_secs(10);

/// What waits for providers of money: apart from all other work, so that one who is slow or silent stops no renewal.
pub fn providers(app: &App) -> Jobs {
    let again = |when: Option<_>| when.map_or(Outcome::Done, Outcome::Again);
    let payments = || app.payments.clone();
    let (queries, questions, pulls) = (payments(), payments(), payments());
    let (refunds, payouts, topups) = (payments(), payments(), payments());
    Jobs::default()
        .at_once(DELIVERIES)
        .with(payments::QUERY, move |job, now| {
            let payments = queries.clone();
            async move {
                Ok(again(
                    payments.query(job.tenant, job.subject.into(), now).await?,
                ))
            }
        })
        .with(payments::INQUIRE, move |job, now| {
            let payments = questions.clone();
            async move {
                Ok(again(
                    payments
                        .inquire(job.tenant, job.subject.into(), now)
                        .await?,
                ))
            }
        })
        .with(payments::REFUND, move |job, now| {
            let payments = refunds.clone();
            async move {
                Ok(again(
                    payments
                        .send_back(job.tenant, job.subject.into(), now)
                        .await?,
                ))
            }
        })
        .with(payments::PAY_OUT, move |job, now| {
            let payments = payouts.clone();
            async move {
                Ok(again(
                    payments
                        .pay_out(job.tenant, job.subject.into(), now)
                        .await?,
                ))
            }
        })
        .with(payments::TOP_UP, move |job, now| {
            let payments = topups.clone();
            async move {
                Ok(again(
                    payments.top_up(job.tenant, job.subject.into(), now).await?,
                ))
            }
        })
        .with(payments::PULL, move |job, now| {
            let payments = pulls.clone();
            async move {
                Ok(again(
                    payments.pull(job.tenant, job.subject.into(), now).await?,
                ))
            }
        })
}

/// Messages to people: apart from all other work, because one tenant may write to thousands.
pub fn messages(app: &App) -> Jobs {
    let sender = app.sender.clone();
    Jobs::default()
        .at_once(DELIVERIES)
        .with(messaging::SEND, move |job, _| {
            let sender = sender.clone();
            async move {
                let again = messaging::send(&sender, job.tenant, job.subject.into()).await?;
                Ok(again.map_or(Outcome::Done, Outcome::Again))
            }
        })
}

/// What waits for others, those who deliver letters of ours, addresses that tenants typed, routers and a state's own systems:
/// apart from all other work, because they answer when they like.
pub fn deliveries(app: &App) -> Jobs {
    let (hooks, fiscal) = (app.hooks.clone(), app.fiscal.clone());
    let routers = (app.db.clone(), app.live.clone(), app.secrets.clone());
    let (parts, rings) = (routers.clone(), app.db.clone());
    let drifts = (app.db.clone(), app.secrets.clone());
    let brought = (routers.clone(), app.config.clone());
    let dressed = routers.clone();
    let rotations = (app.db.clone(), app.live.clone());
    let recovery = (app.db.clone(), app.mail.clone(), app.config.clone());
    let again = |when: Option<_>| when.map_or(Outcome::Done, Outcome::Again);
    Jobs::default()
        .at_once(DELIVERIES)
        .with(auth::recovery::SEND, move |job, now| {
            let (db, mail, config) = recovery.clone();
            async move {
                // After an hour of trying, he has asked again or somebody else.
                if job.attempts > 15 {
                    return Ok(Outcome::Done);
                }
                let url = config.http.public_url.as_deref();
                auth::recovery::send(&db, &mail, url, (job.tenant, job.subject.into()), now)
                    .await?;
                Ok(Outcome::Done)
            }
        })
        .with(configurations::DRIFT, move |job, now| {
            let (db, secrets) = drifts.clone();
            async move {
                let router = (job.tenant, job.subject.into());
                let again = configurations::look(&db, &secrets, router, now).await?;
                Ok(again.map_or(Outcome::Done, Outcome::Again))
            }
        })
        .with(routers::ROTATION_JOB, move |job, now| {
            let (db, live) = rotations.clone();
            async move {
                let which = (job.tenant, job.subject.into());
                Ok(again(routers::end_rotation(&db, &live, which, now).await?))
            }
        })
        .with(wizard::RUN, move |job, now| {
            let (db, live, secrets) = routers.clone();
            async move {
                let router = (job.tenant, job.subject.into());
                let again = wizard::work(&db, &live, &secrets, router, now).await?;
                Ok(again.map_or(Outcome::Done, Outcome::Again))
            }
        })
        .with(routers::COMPLETE, move |job, now| {
            let ((db, live, secrets), config) = brought.clone();
            async move {
                let router = (job.tenant, job.subject.into());
                let url = config.http.public_url.as_deref();
                let done = wizard::complete(&db, &live, &secrets, url, router, now);
                Ok(again(done.await?))
            }
        })
        .with(routers::PAGES, move |job, now| {
            let (db, live, secrets) = dressed.clone();
            async move {
                let router = (job.tenant, job.subject.into());
                let done = wizard::fetch_pages(&db, &live, &secrets, router, now);
                Ok(again(done.await?))
            }
        })
        .with(rollouts::RUN, move |job, now| {
            let db = rings.clone();
            async move {
                let rollout = (job.tenant, job.subject.into());
                Ok(again(rollouts::run(&db, rollout, now).await?))
            }
        })
        .with(rollouts::TURN, move |job, now| {
            let (db, live, secrets) = parts.clone();
            async move {
                let part = (job.tenant, job.subject.into());
                Ok(again(
                    rollouts::turn(&db, &live, &secrets, part, now).await?,
                ))
            }
        })
        .with(webhooks::SEND, move |job, _| {
            let hooks = hooks.clone();
            async move {
                let again = webhooks::send(&hooks, job.tenant, job.subject.into()).await?;
                Ok(again.map_or(Outcome::Done, Outcome::Again))
            }
        })
        .with(fiscal::SUBMIT, move |job, _| {
            let fiscal = fiscal.clone();
            async move {
                let again = fiscal::submit(&fiscal, job.tenant).await?;
                Ok(again.map_or(Outcome::Done, Outcome::Again))
            }
        })
}

/// Deliveries under way at once on one node. They mostly wait for others, without a connection to the
/// database.
const DELIVERIES: usize = 64;

/// The API's description, before the routes are added.
pub fn description() -> utoipa::openapi::OpenApi {
    use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
    use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApiBuilder};

    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("From POST /api/auth/login; good for seven days."))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("EasyISP cloud")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Errors are envelopes: message and error (the same text for people), statusCode, code, \
                     details (which field, what to write) and requestId. Every list of a tenant is a file with ?format=csv or \
                     ?format=xlsx: all its pages, with its filters.",
                )),
        )
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme("bearer", SecurityScheme::Http(bearer))
                .build(),
        ))
        .build()
}

/// The whole description, as `GET /api/openapi.json` answers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().describe(description())
}
