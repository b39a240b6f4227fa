//! The order of lists.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use super::Query;
use crate::error::ApiError;

/// What a list can be sorted by.
pub trait Sortable {
    /// The names in a request, the usual one first, and the columns that each sorts by from the least: to the
    /// last one unique, so that pages neither repeat nor leave out a row. One with a `-` goes the other way.
    const ALL: &'static [(&'static str, &'static [&'static str])];
    /// Where nothing is asked for.
    const USUAL: Order;
}

/// The direction of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The least first; what is empty comes last.
    Asc,
    /// The greatest first; what is empty comes first.
    Desc,
}

/// How a list is sorted: `?sortBy=name&sortOrder=desc`.
///
/// Only names of [`Sortable::ALL`] become SQL, each of them the text that stands there. One name sorts from the
/// least; the usual one, or none, the usual way. An unknown name is a 400 that tells those there are.
pub struct Sort<C> {
    terms: &'static [&'static str],
    order: Order,
    by: Option<&'static str>,
    of: PhantomData<C>,
}

impl<C> Clone for Sort<C> {
    fn clone(&self) -> Sort<C> {
        *self
    }
}

impl<C> Copy for Sort<C> {}

impl<C> fmt::Debug for Sort<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.terms())
    }
}

impl<C: Sortable> Default for Sort<C> {
    fn default() -> Sort<C> {
        Sort {
            terms: C::ALL[0].1,
            order: C::USUAL,
            by: None,
            of: PhantomData,
        }
    }
}

impl<C: Sortable> Sort<C> {
    fn new(by: Option<&str>, order: Option<Order>) -> Result<Sort<C>, ApiError> {
        let usual = Sort::default();
        let Some(by) = by else {
            let order = order.unwrap_or(usual.order);
            return Ok(Sort { order, ..usual });
        };
        let known = C::ALL.iter().find(|(name, _)| *name == by);
        let (name, terms) = known.ok_or_else(|| {
            let what = format!("must be one of {}", names::<C>().join(", "));
            ApiError::field("sortBy", what)
        })?;
        let unsaid = match *name == C::ALL[0].0 {
            true => C::USUAL,
            false => Order::Asc,
        };
        Ok(Sort {
            terms,
            order: order.unwrap_or(unsaid),
            by: Some(name),
            of: PhantomData,
        })
    }

    /// The name that was asked for.
    pub fn by(&self) -> Option<&'static str> {
        self.by
    }

    /// Sorts by other columns, the greatest first, where no name was asked for.
    #[must_use]
    pub fn or_last_first(self, terms: &'static [&'static str]) -> Sort<C> {
        match self.by {
            Some(_) => self,
            None => Sort { terms, ..self },
        }
    }
}

impl<C> Sort<C> {
    /// The direction.
    pub fn order(&self) -> Order {
        self.order
    }

    /// A query's text with the columns in the place of `{order}`.
    pub fn text(&self, query: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(query.replace("{order}", &self.terms()))
    }

    fn terms(&self) -> String {
        let term = |term: &&str| match (term.strip_prefix('-'), self.order) {
            (None, Order::Asc) => format!("{term} asc"),
            (None, Order::Desc) => format!("{term} desc"),
            (Some(column), Order::Asc) => format!("{column} desc"),
            (Some(column), Order::Desc) => format!("{column} asc"),
        };
        let terms: Vec<String> = self.terms.iter().map(term).collect();
        terms.join(", ")
    }
}

fn names<C: Sortable>() -> Vec<&'static str> {
    C::ALL.iter().map(|(name, _)| *name).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    sort_by: Option<String>,
    sort_order: Option<Order>,
}

impl<C: Sortable, S: Send + Sync> FromRequestParts<S> for Sort<C> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Sort<C>, ApiError> {
        let Query(wanted) = Query::<Parameters>::from_request_parts(parts, state).await?;
        Sort::new(wanted.sort_by.as_deref().map(str::trim), wanted.sort_order)
    }
}

impl<C: Sortable> IntoParams for Sort<C> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |name: &str, words: Vec<&'static str>, what: String| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(what))
                .schema(Some(
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .enum_values(Some(words)),
                ))
                .build()
        };
        let usual = match C::USUAL {
            Order::Asc => "asc",
            Order::Desc => "desc",
        };
        let by = format!("What to sort by; `{}` when absent.", C::ALL[0].0);
        let order = format!(
            "`asc` = the least first and what is empty last, `desc` = the other way round. When absent \
             `{usual}` by `{}` and `asc` by anything else.",
            C::ALL[0].0
        );
        vec![
            parameter("sortBy", names::<C>(), by),
            parameter("sortOrder", vec!["asc", "desc"], order),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    struct Things;

    impl Sortable for Things {
        const ALL: &'static [(&'static str, &'static [&'static str])] = &[
            ("createdAt", &["created_at", "-id"]),
            ("name", &["name", "id"]),
        ];
        const USUAL: Order = Order::Desc;
    }

    fn sql(by: Option<&str>, order: Option<Order>) -> String {
        let sort = Sort::<Things>::new(by, order).unwrap();
        sort.text("order by {order}").0
    }

    #[test]
    fn a_name_becomes_its_columns_to_the_unique_one() {
        assert_eq!(sql(None, None), "order by created_at desc, id asc");
        assert_eq!(
            sql(Some("createdAt"), None),
            "order by created_at desc, id asc"
        );
        assert_eq!(
            sql(None, Some(Order::Asc)),
            "order by created_at asc, id desc"
        );
        assert_eq!(sql(Some("name"), None), "order by name asc, id asc");
        assert_eq!(
            sql(Some("name"), Some(Order::Desc)),
            "order by name desc, id desc"
        );
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_there_are() {
        for by in ["id", "name; drop table customers", "Name"] {
            let error = Sort::<Things>::new(Some(by), None).unwrap_err();
            let ApiError::BadRequest { details, .. } = error else {
                panic!("{by}");
            };
            assert_eq!(details[0].field, "sortBy");
            assert_eq!(details[0].message, "must be one of createdAt, name");
        }
    }
}
