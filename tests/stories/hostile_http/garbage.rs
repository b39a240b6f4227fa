//! Requests that are nearly right, and requests that are not.

use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::{Map, Value, json};

use super::routes::{Route, Routes};

/// Makes one request.
pub struct Garbage<'a> {
    random: &'a mut SmallRng,
    routes: &'a Routes,
    ids: &'a [String],
}

impl<'a> Garbage<'a> {
    pub fn new(random: &'a mut SmallRng, routes: &'a Routes, ids: &'a [String]) -> Garbage<'a> {
        Garbage {
            random,
            routes,
            ids,
        }
    }

    /// The route's path with something in each of its places, and a query.
    pub fn path(&mut self, route: &Route) -> String {
        let mut path = String::new();
        for (number, part) in route.path.split('/').enumerate() {
            if number > 0 {
                path.push('/');
            }
            if part.starts_with('{') {
                path.push_str(&self.in_path());
            } else {
                path.push_str(part);
            }
        }
        let mut separator = '?';
        for name in &route.query {
            if self.one_in(2) {
                let value = self.in_query();
                path.push_str(&format!("{separator}{name}={value}"));
                separator = '&';
            }
        }
        if self.one_in(20) {
            path.push_str(&format!(
                "{separator}{}={}",
                escape(&self.text()),
                escape(&self.text())
            ));
        }
        path
    }

    /// Content type and bytes.
    pub fn body(&mut self, route: &Route) -> Option<(&'static str, Vec<u8>)> {
        let Some((kind, schema)) = &route.body else {
            return self
                .one_in(5)
                .then(|| (JSON, self.any_value(3).to_string().into_bytes()));
        };
        if self.one_in(30) {
            return None;
        }
        let kind = match self.random.random_range(0..40) {
            0 => "text/plain",
            1 => "application/x-www-form-urlencoded",
            2 => "multipart/form-data; boundary=x",
            _ if kind == JSON => JSON,
            _ => "text/csv",
        };
        let value = self.like(schema, 6);
        let mut bytes = value.to_string().into_bytes();
        match self.random.random_range(0..25) {
            0 => bytes.truncate(self.random.random_range(0..=bytes.len())),
            1 => {
                for _ in 0..3 {
                    let place = self.random.random_range(0..=bytes.len());
                    bytes.insert(place, self.random.random());
                }
            }
            2 => bytes = "[".repeat(self.random.random_range(1..5_000)).into_bytes(),
            3 => bytes = (0..200).map(|_| self.random.random()).collect(),
            _ => {}
        }
        Some((kind, bytes))
    }

    fn in_path(&mut self) -> String {
        match self.random.random_range(0..10) {
            0..=4 if !self.ids.is_empty() => {
                self.ids[self.random.random_range(0..self.ids.len())].clone()
            }
            0..=6 => uuid::Uuid::from_u128(self.random.random()).to_string(),
            7 => self.random.random::<i64>().to_string(),
            _ => match escape(&self.text()) {
                empty if empty.is_empty() => "%20".to_owned(),
                text => text,
            },
        }
    }

    fn in_query(&mut self) -> String {
        match self.random.random_range(0..8) {
            0 => self.random.random_range(0..50).to_string(),
            1 => self.random.random::<i64>().to_string(),
            2 => "true".to_owned(),
            3 => "2026-02-30".to_owned(),
            4 if !self.ids.is_empty() => {
                self.ids[self.random.random_range(0..self.ids.len())].clone()
            }
            5 => "%ff%00".to_owned(),
            _ => escape(&self.text()),
        }
    }

    /// A value as the schema wants it, with something else in some of its places.
    fn like(&mut self, schema: &Value, depth: usize) -> Value {
        if depth == 0 || self.one_in(8) {
            return self.any_value(2);
        }
        let schema = self.routes.resolve(schema);
        for choice in ["oneOf", "anyOf", "allOf"] {
            if let Some(choices) = schema[choice].as_array().filter(|list| !list.is_empty()) {
                let chosen = &choices[self.random.random_range(0..choices.len())];
                return self.like(chosen, depth - 1);
            }
        }
        if let Some(words) = schema["enum"].as_array().filter(|words| !words.is_empty()) {
            return words[self.random.random_range(0..words.len())].clone();
        }
        let kind = schema["type"].as_str().map(str::to_owned).or_else(|| {
            let kinds = schema["type"].as_array()?;
            let kind = kinds.get(self.random.random_range(0..kinds.len()))?;
            kind.as_str().map(str::to_owned)
        });
        match kind.as_deref() {
            Some("object") => self.object(schema, depth),
            Some("array") => {
                let length = self.random.random_range(0..4);
                (0..length)
                    .map(|_| self.like(&schema["items"], depth - 1))
                    .collect()
            }
            Some("string") => self.worded(schema),
            Some("integer" | "number") => self.number(),
            Some("boolean") => Value::Bool(self.random.random()),
            Some("null") => Value::Null,
            Some(_) | None => self.any_value(2),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if !self.one_in(6) {
                object.insert(name.clone(), self.like(schema, depth - 1));
            }
        }
        if self.one_in(10) {
            object.insert(self.text(), self.any_value(2));
        }
        Value::Object(object)
    }

    fn worded(&mut self, schema: &Value) -> Value {
        if self.one_in(3) {
            return self.text().into();
        }
        let number: u32 = self.random.random_range(0..100_000);
        let word = match schema["format"].as_str() {
            Some("uuid") => self.in_path(),
            Some("email") => format!("somebody{number}@example.com"),
            Some("date-time") => format!("20{:02}-02-28T10:00:00Z", number % 100),
            Some(_) | None => match number % 6 {
                0 if !self.ids.is_empty() => {
                    self.ids[self.random.random_range(0..self.ids.len())].clone()
                }
                1 => format!("2547{number:08}"),
                2 => format!("10.0.{}.{}", number % 256, number % 7),
                3 => format!("somebody{number}@example.com"),
                _ => format!("word {number}"),
            },
        };
        word.into()
    }

    fn number(&mut self) -> Value {
        match self.random.random_range(0..10) {
            0 => json!(i64::MIN),
            1 => json!(u64::MAX),
            2 => json!(1e308),
            3 => json!(-0.005),
            4 => json!(0),
            5 => json!(92_233_720_368_547_758_i64),
            _ => json!(self.random.random_range(0..5_000)),
        }
    }

    fn any_value(&mut self, depth: usize) -> Value {
        match self.random.random_range(0..8) {
            0 => Value::Null,
            1 => Value::Bool(self.random.random()),
            2 | 3 => self.number(),
            4 if depth > 0 => (0..self.random.random_range(0..5))
                .map(|_| self.any_value(depth - 1))
                .collect(),
            5 if depth > 0 => {
                let count = self.random.random_range(0..4);
                let pairs = (0..count).map(|_| (self.text(), self.any_value(depth - 1)));
                Value::Object(pairs.collect())
            }
            _ => self.text().into(),
        }
    }

    fn text(&mut self) -> String {
        match self.random.random_range(0..12) {
            0 => String::new(),
            1 => "\0".to_owned(),
            2 => "'; drop table customers; --".to_owned(),
            3 => "x".repeat(self.random.random_range(1..20_000).min(3_000)),
            4 => "<script>alert(1)</script>".to_owned(),
            5 => "\u{202e}\u{feff}\u{1f4a9}e\u{301}".to_owned(),
            6 => "../../../etc/passwd".to_owned(),
            7 => "%s%n${7*7}{{7*7}}".to_owned(),
            8 => "=cmd|' /C calc'!A0".to_owned(),
            9 => " \t\r\n".to_owned(),
            _ => (0..self.random.random_range(1..12))
                .map(|_| self.random.random::<char>())
                .collect(),
        }
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.random.random_range(0..times) == 0
    }
}

const JSON: &str = "application/json";

fn escape(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric();
    text.bytes()
        .map(|octet| match plain(octet) {
            true => char::from(octet).to_string(),
            false => format!("%{octet:02X}"),
        })
        .collect()
}
