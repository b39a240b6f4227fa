//! Routes and who may use them: declared together, so that none is open by accident.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::MethodRouter;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, OpenApi, PathItem, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::permission::Permission;

/// Who may use a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Everybody.
    Public,
    /// Who knows the secret in the path; the handler checks it.
    Token,
    /// Every operator whose tenant is in good standing.
    SignedIn,
    /// Every signed-in operator, also the owner of an expired tenant: how he comes back.
    SignedInEvenExpired,
    /// Operators with at least one of these.
    Any(&'static [Permission]),
    /// The platform's own people.
    Platform,
}

/// What the guard answers with.
pub type GuardFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Lets a request through to its handler, or answers in its place.
pub type Guard<S> = fn(S, Access, Request, Next) -> GuardFuture;

/// One operation of the API, for the test that walks them all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteInfo {
    /// `GET`.
    pub method: String,
    /// `/api/customers/{customer}`.
    pub path: String,
    /// Who may.
    pub access: Access,
}

/// A feature's routes.
pub struct Routes<S = crate::App> {
    list: Vec<(Access, UtoipaMethodRouter<S>)>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    pub fn new() -> Routes<S> {
        Routes { list: Vec::new() }
    }

    /// Adds what `routes!(…)` collected (handlers of one path), for those whom `access` names.
    #[must_use]
    pub fn route(mut self, access: Access, routes: UtoipaMethodRouter<S>) -> Routes<S> {
        self.list.push((access, routes));
        self
    }

    /// Adds a handler without description: pages and files, not the API.
    #[must_use]
    pub fn page<H, T>(self, access: Access, path: &str, handler: H) -> Routes<S>
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let mut paths = utoipa::openapi::path::Paths::new();
        paths.paths.insert(path.to_owned(), Default::default());
        self.route(access, (Vec::new(), paths, axum::routing::get(handler)))
    }

    /// Adds another feature's routes.
    #[must_use]
    pub fn merge(mut self, other: Routes<S>) -> Routes<S> {
        self.list.extend(other.list);
        self
    }

    /// Every operation and who may use it.
    pub fn infos(&self) -> Vec<RouteInfo> {
        let mut infos = Vec::new();
        for (access, (_, paths, _)) in &self.list {
            for (path, item) in &paths.paths {
                for method in methods(item) {
                    infos.push(RouteInfo {
                        method: method.to_owned(),
                        path: path.clone(),
                        access: *access,
                    });
                }
            }
        }
        infos
    }

    /// The description of it all.
    pub fn describe(self, description: OpenApi) -> OpenApi {
        let mut router = OpenApiRouter::with_openapi(description);
        for (access, (schemas, mut paths, methods)) in self.list {
            describe(&mut paths, access);
            router = router.routes((schemas, paths, methods));
        }
        without_pages(router.into_openapi())
    }

    /// One router in which `guard` stands before every handler, `within` between the two, and the description of it all.
    pub fn build(
        self,
        state: S,
        (guard, within): (Guard<S>, Guard<S>),
        description: OpenApi,
    ) -> (axum::Router, OpenApi) {
        let mut router = OpenApiRouter::with_openapi(description);
        for (access, (schemas, mut paths, methods)) in self.list {
            describe(&mut paths, access);
            let methods = guarded(methods, access, &state, within);
            router = router.routes((schemas, paths, guarded(methods, access, &state, guard)));
        }
        let (router, description) = router.split_for_parts();
        (router.with_state(state), without_pages(description))
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Routes<S> {
        Routes::new()
    }
}

/// Pages have no operations: they are routes, not a part of the API.
fn without_pages(mut description: OpenApi) -> OpenApi {
    let paths = &mut description.paths.paths;
    paths.retain(|_, item| methods(item).next().is_some());
    description
}

fn guarded<S: Clone + Send + Sync + 'static>(
    methods: MethodRouter<S, Infallible>,
    access: Access,
    state: &S,
    guard: Guard<S>,
) -> MethodRouter<S, Infallible> {
    let state = state.clone();
    methods.route_layer(axum::middleware::from_fn(
        move |request: Request, next: Next| guard(state.clone(), access, request, next),
    ))
}

/// Writes into the description whom a route is for.
fn describe(paths: &mut utoipa::openapi::path::Paths, access: Access) {
    let text = match access {
        Access::Public => "Anybody may call this.".to_owned(),
        Access::Token => "The secret in the path is the right to call this.".to_owned(),
        Access::SignedIn => "Needs a bearer token.".to_owned(),
        Access::SignedInEvenExpired => {
            "Needs a bearer token; open to the owner of an expired tenant.".to_owned()
        }
        Access::Any(permissions) => format!(
            "Needs a bearer token and one of the permissions: {}.",
            permissions
                .iter()
                .map(|permission| permission.name())
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Access::Platform => "For the platform's own people.".to_owned(),
    };
    for (path, item) in &mut paths.paths {
        for (method, operation) in operations(item) {
            refusals(operation, (method, path), access);
            let description = operation.description.get_or_insert_default();
            if !description.is_empty() {
                description.push_str("\n\n");
            }
            description.push_str(&text);
            if !matches!(access, Access::Public | Access::Token) {
                operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(
                    "bearer",
                    [],
                )]);
            }
        }
    }
}

/// Adds the refusals that every operation of its kind may answer with, where it does not describe them itself.
/// All of them are envelopes.
fn refusals(operation: &mut Operation, (method, path): (&str, &str), access: Access) {
    let public = matches!(access, Access::Public | Access::Token);
    let changes = method != "GET";
    let common = [
        (
            true,
            "400",
            "Something is missing or malformed; details name it",
        ),
        (!public, "401", "No token, a bad or an expired one"),
        (
            !public,
            "403",
            "Not allowed, or the tenant is suspended or expired",
        ),
        (
            path.contains('{'),
            "404",
            "There is no such thing in this tenant",
        ),
        (
            changes,
            "409",
            "It is in another state, or a request with this Idempotency-Key was another",
        ),
        (
            operation.request_body.is_some(),
            "404",
            "Something that the body names is not in this tenant",
        ),
        (
            operation.request_body.is_some(),
            "413",
            "The body is too large",
        ),
        (
            operation.request_body.is_some(),
            "415",
            "The body is not of the type described",
        ),
        (changes, "422", "Understood, and cannot be done"),
        (true, "429", "Too many requests; see Retry-After"),
        (
            true,
            "503",
            "Not now: a device, a provider or the database is away; try again",
        ),
    ];
    let responses = &mut operation.responses.responses;
    for (_, status, text) in common.into_iter().filter(|(applies, ..)| *applies) {
        let refusal = || ResponseBuilder::new().description(text).build().into();
        responses.entry(status.to_owned()).or_insert_with(refusal);
    }
    for (status, response) in responses {
        if status.starts_with(['4', '5'])
            && let RefOr::T(response) = response
            && response.content.is_empty()
        {
            let envelope = Ref::from_schema_name("ErrorEnvelope");
            let envelope = ContentBuilder::new().schema(Some(envelope)).build();
            let json = "application/json".to_owned();
            response.content.insert(json, envelope.into());
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("GET", item.get.as_mut()),
        ("PUT", item.put.as_mut()),
        ("POST", item.post.as_mut()),
        ("DELETE", item.delete.as_mut()),
        ("PATCH", item.patch.as_mut()),
        ("HEAD", item.head.as_mut()),
        ("OPTIONS", item.options.as_mut()),
        ("TRACE", item.trace.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

fn methods(item: &PathItem) -> impl Iterator<Item = &'static str> {
    [
        ("GET", item.get.is_some()),
        ("PUT", item.put.is_some()),
        ("POST", item.post.is_some()),
        ("DELETE", item.delete.is_some()),
        ("PATCH", item.patch.is_some()),
        ("HEAD", item.head.is_some()),
        ("OPTIONS", item.options.is_some()),
        ("TRACE", item.trace.is_some()),
    ]
    .into_iter()
    .filter_map(|(method, there)| there.then_some(method))
}
