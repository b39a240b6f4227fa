//! What the cloud says it serves, read from its OpenAPI description.

use rand::RngExt;
use rand::rngs::SmallRng;
use reqwest::Method;
use serde_json::Value;

/// Every route, and the schemas their bodies refer to.
pub struct Routes {
    routes: Vec<Route>,
    schemas: Value,
}

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: Method,
    /// With `{names}`.
    pub path: String,
    /// Names of query parameters.
    pub query: Vec<String>,
    /// Content type and schema of the body.
    pub body: Option<(String, Value)>,
}

impl Routes {
    pub fn read(description: &Value) -> Routes {
        let mut routes = Vec::new();
        let paths = description["paths"].as_object();
        for (path, methods) in paths.into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                    continue;
                };
                routes.push(Route {
                    method,
                    path: path.clone(),
                    query: query_of(operation),
                    body: body_of(operation),
                });
            }
        }
        Routes {
            routes,
            schemas: description["components"]["schemas"].clone(),
        }
    }

    pub fn len(&self) -> usize {
        self.routes.len()
    }

    pub fn any(&self, random: &mut SmallRng) -> &Route {
        &self.routes[random.random_range(0..self.routes.len())]
    }

    /// A schema, or the one it refers to.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(reference) = schema["$ref"].as_str() else {
            return schema;
        };
        let name = reference.rsplit('/').next().unwrap_or_default();
        &self.schemas[name]
    }
}

fn query_of(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array();
    let in_query = parameters
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "query");
    in_query
        .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
        .collect()
}

fn body_of(operation: &Value) -> Option<(String, Value)> {
    let content = operation["requestBody"]["content"].as_object()?;
    let (kind, media) = content.iter().next()?;
    Some((kind.clone(), media["schema"].clone()))
}
