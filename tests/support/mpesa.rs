//! A pretend M-Pesa (Daraja): tokens, prompts on phones, scripted payers, callbacks, status query, books.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};

use crate::scenario::{Errand, Outage, Payer};

mod app;
pub mod books;
pub mod c2b;
pub mod callback;
mod checks;
mod daraja;
mod errands;
mod payer;
pub(crate) mod pretend;
mod pull;
mod refusal;

pub use app::{App, C2b, Kind};
use books::{Books, Transaction};

/// A handle on the pretend M-Pesa; clones share it.
#[derive(Clone)]
pub struct Mpesa {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    entropy: Entropy,
    client: reqwest::Client,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What the handlers and the payers' tasks share.
#[derive(Default)]
struct State {
    apps: Vec<App>,
    tokens: HashMap<String, Token>,
    tokens_issued: u64,
    everybody: Payer,
    phones: HashMap<String, Payer>,
    outage: Outage,
    /// How often each address was called.
    calls: HashMap<String, u64>,
    books: Books,
    registered: HashMap<String, c2b::Registration>,
    /// Short codes that may ask what has moved.
    pulling: HashSet<String>,
    typed: HashSet<String>,
    released: HashSet<String>,
    /// Phones whose push was taken and lost.
    lost: HashSet<String>,
    /// Callbacks and confirmations that are being sent.
    on_the_way: usize,
    errand: Errand,
}

struct Token {
    app: usize,
    until: Timestamp,
}

impl Mpesa {
    pub(crate) fn new(
        clock: Clock,
        entropy: Entropy,
        client: reqwest::Client,
        stop: CancellationToken,
    ) -> Mpesa {
        let state = State {
            apps: vec![App::demo()],
            ..State::default()
        };
        Mpesa {
            shared: Arc::new(Shared {
                clock,
                entropy,
                client,
                state: Mutex::new(state),
                changed: watch::Sender::new(()),
                tasks: TaskTracker::new(),
                stop,
            }),
        }
    }

    /// Daraja's routes and the pretend ones.
    pub(crate) fn routes(&self) -> Router {
        daraja::routes(self.clone()).merge(pretend::routes(self.clone()))
    }

    /// Waits until every payer's task has ended; the stop token must have been cancelled.
    pub(crate) async fn stopped(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Makes an application known. One with the same key is replaced.
    pub fn add_app(&self, app: App) {
        self.change(
            |state| match state.apps.iter_mut().find(|known| known.key == app.key) {
                Some(known) => *known = app,
                None => state.apps.push(app),
            },
        );
    }

    /// Scripts the payer with this phone.
    pub fn script(&self, phone: &str, payer: Payer) {
        let phone = msisdn(phone);
        self.change(|state| state.phones.insert(phone, payer));
    }

    /// Scripts everybody without words of his own.
    pub fn script_everybody(&self, payer: Payer) {
        self.change(|state| state.everybody = payer);
    }

    /// Scripts how what initiators ask for is done from now on.
    pub fn script_errands(&self, errand: Errand) {
        self.change(|state| state.errand = errand);
    }

    /// The certificate with which initiators' passwords are encrypted, PEM.
    pub fn certificate() -> &'static str {
        include_str!("mpesa/initiator.crt.pem")
    }

    /// An initiator's password, encrypted with it.
    pub fn credential(password: &str) -> String {
        errands::credential(password)
    }

    /// Lets something befall the provider, or end.
    pub fn outage(&self, outage: Outage) {
        self.change(|state| state.outage = outage);
    }

    /// Makes every token that was issued invalid.
    pub fn forget_tokens(&self) {
        self.change(|state| state.tokens.clear());
    }

    /// How often an address was called, whatever was answered.
    pub fn calls(&self, path: &str) -> u64 {
        self.state().calls.get(path).copied().unwrap_or(0)
    }

    /// How many tokens have been issued.
    pub fn tokens_issued(&self) -> u64 {
        self.state().tokens_issued
    }

    /// Types the PIN of a prompt scripted [`Pin::Held`](crate::scenario::Pin::Held).
    pub fn type_pin(&self, checkout: &str) {
        self.change(|state| state.typed.insert(checkout.to_owned()));
    }

    /// Sends callback and confirmation of a prompt scripted
    /// [`Callback::Held`](crate::scenario::Callback::Held). A direct payment's name is its receipt.
    pub fn release(&self, checkout: &str) {
        self.change(|state| state.released.insert(checkout.to_owned()));
    }

    /// Sends the callback of a prompt that has ended once more.
    pub async fn call_back_again(&self, checkout: &str) {
        payer::deliver(self, checkout).await;
    }

    /// Sends the confirmation of money that came by itself once more.
    pub async fn confirm_again(&self, receipt: &str) {
        let paid = {
            let state = self.state();
            let mut direct = state.books.direct().iter();
            direct.find(|known| known.receipt == receipt).cloned()
        };
        if let Some(paid) = paid {
            c2b::confirm(self, &paid).await;
        }
    }

    /// A payer sends money by himself: `amount` is decimal text, `reference` what he types as
    /// account. The receipt; `None` when a validation refused it.
    pub async fn pay_bill(
        &self,
        shortcode: &str,
        phone: &str,
        amount: &str,
        reference: &str,
    ) -> Option<String> {
        c2b::pay(self, shortcode, &msisdn(phone), amount, reference).await
    }

    /// Switches validation of direct payments on or off; it is off until the provider is asked.
    pub fn validate(&self, shortcode: &str, validation: c2b::Validation) {
        self.change(|state| {
            if let Some(registered) = state.registered.get_mut(shortcode) {
                registered.validation = validation;
            }
        });
    }

    /// Where validations and confirmations of this short code go, when it has registered.
    pub fn c2b_urls(&self, shortcode: &str) -> Option<(String, String)> {
        let state = self.state();
        let registered = state.registered.get(shortcode)?;
        let urls = (&registered.validation_url, &registered.confirmation_url);
        Some((urls.0.clone(), urls.1.clone()))
    }

    /// The provider's people take a registration back, by hand.
    pub fn forget_c2b(&self, shortcode: &str) {
        self.change(|state| state.registered.remove(shortcode));
    }

    /// A copy of the books.
    pub fn books(&self) -> Books {
        self.state().books.clone()
    }

    /// Waits until the books answer `question` with something; never sleeps.
    pub async fn until<T>(&self, question: impl Fn(&Books) -> Option<T>) -> T {
        self.when(|state| question(&state.books)).await
    }

    /// Waits for the next prompt on this phone after the `seen` ones before.
    pub async fn prompt(&self, phone: &str, seen: usize) -> Transaction {
        let phone = msisdn(phone);
        self.until(|books| {
            let mut of_phone = books
                .transactions()
                .iter()
                .filter(|known| known.phone == phone);
            of_phone.nth(seen).cloned()
        })
        .await
    }

    /// Waits until `count` callbacks of this prompt have been answered.
    pub async fn called_back(&self, checkout: &str, count: usize) -> Transaction {
        self.until(|books| {
            books
                .find(checkout)
                .filter(|known| known.callbacks.len() >= count)
                .cloned()
        })
        .await
    }

    /// Waits until a push for this phone has come in and was lost.
    pub async fn lost(&self, phone: &str) {
        let phone = msisdn(phone);
        self.when(|state| state.lost.contains(&phone).then_some(()))
            .await;
    }

    /// Whether no callback and no confirmation is being sent at this moment.
    pub fn is_quiet(&self) -> bool {
        self.state().on_the_way == 0
    }

    /// Sends word and counts it meanwhile.
    async fn send(&self, request: reqwest::RequestBuilder) -> Option<u16> {
        self.change(|state| state.on_the_way += 1);
        let answer = request.send().await;
        self.change(|state| state.on_the_way -= 1);
        answer.ok().map(|answer| answer.status().as_u16())
    }

    async fn when<T>(&self, question: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        loop {
            if let Some(answer) = question(&self.state()) {
                return answer;
            }
            changed
                .changed()
                .await
                .expect("the sender lives as long as this handle");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .expect("no change of the state panics")
    }

    /// Changes the state and wakes everybody who waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.shared.changed.send_replace(());
        result
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.shared.clock.sleep(duration).await;
    }
}

impl State {
    fn payer(&self, phone: &str) -> &Payer {
        self.phones.get(phone).unwrap_or(&self.everybody)
    }
}

/// A number as M-Pesa writes it: `2547…`, from `07…` or `+2547…`.
pub(crate) fn msisdn(phone: &str) -> String {
    let digits = phone.trim().trim_start_matches('+');
    match digits.strip_prefix('0') {
        Some(rest) => format!("254{rest}"),
        None => digits.to_owned(),
    }
}
