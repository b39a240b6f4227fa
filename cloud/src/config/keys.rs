//! The names of the settings, and how an environment variable becomes one.

use toml::{Table, Value};

use super::ConfigError;

/// What a variable's text means.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    /// `true` or `false`.
    Truth,
    /// Separated by commas.
    List,
    /// The same of numbers.
    Numbers,
}

/// Every key: its section (empty = none), its name, its form.
const KEYS: &[(&str, &str, Form)] = &[
    ("", "data_dir", Form::Text),
    ("http", "listen", Form::Text),
    ("http", "public_url", Form::Text),
    ("http", "allowed_origins", Form::List),
    ("http", "trusted_proxies", Form::List),
    ("agents", "listen", Form::Text),
    ("agents", "tcp_listen", Form::List),
    ("agents", "public_address", Form::Text),
    ("access", "listen", Form::Text),
    ("access", "host", Form::Text),
    ("access", "ports", Form::Numbers),
    ("nodes", "listen", Form::Text),
    ("nodes", "address", Form::Text),
    ("database", "url", Form::Text),
    ("database", "migrate_url", Form::Text),
    ("database", "connections", Form::Number),
    ("keys", "master_key_file", Form::Text),
    ("mpesa", "base_url", Form::Text),
    ("mpesa", "shortcode", Form::Text),
    ("mpesa", "consumer_key_file", Form::Text),
    ("mpesa", "consumer_secret_file", Form::Text),
    ("mpesa", "passkey_file", Form::Text),
    ("mpesa", "sandbox", Form::Truth),
    ("mpesa", "initiator_name", Form::Text),
    ("mpesa", "initiator_password_file", Form::Text),
    ("mpesa", "sources", Form::List),
    ("mpesa", "certificate_file", Form::Text),
    ("mpesa", "sandbox_certificate_file", Form::Text),
    ("airtel", "base_url", Form::Text),
    ("sms", "base_url", Form::Text),
    ("sms", "api_key_file", Form::Text),
    ("sms", "partner_id", Form::Text),
    ("sms", "price", Form::Text),
    ("sms", "sender_id", Form::Text),
    ("fiscal", "base_url", Form::Text),
    ("smtp", "host", Form::Text),
    ("smtp", "port", Form::Number),
    ("smtp", "tls", Form::Text),
    ("smtp", "username", Form::Text),
    ("smtp", "password_file", Form::Text),
    ("smtp", "from", Form::Text),
    ("webhooks", "allow_private", Form::Truth),
    ("webhooks", "ca_file", Form::Text),
    ("metrics", "listen", Form::Text),
    ("limits", "user_per_second", Form::Number),
    ("limits", "user_burst", Form::Number),
    ("limits", "tenant_per_second", Form::Number),
    ("limits", "address_per_second", Form::Number),
    ("limits", "address_burst", Form::Number),
    ("limits", "account_failures", Form::Number),
    ("limits", "address_failures", Form::Number),
    ("limits", "registrations", Form::Number),
    ("limits", "password_millis", Form::Number),
    ("limits", "agents", Form::Number),
    ("limits", "connections", Form::Number),
    ("limits", "connections_per_address", Form::Number),
    ("log", "filter", Form::Text),
    ("log", "format", Form::Text),
];

/// Puts every `EASYISP_…` variable into `table`, over what the file says.
pub(super) fn overlay(
    table: &mut Table,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (variable, text) in environment {
        // The second kind belongs to the tests' own tools.
        if !variable.starts_with("EASYISP_") || variable.starts_with("EASYISP_TEST_") {
            continue;
        }
        let Some((section, key, form)) = KEYS
            .iter()
            .find(|(section, key, _)| variable_of(section, key) == variable)
        else {
            return Err(ConfigError::new(format!(
                "unknown environment variable {variable}{}; `easyisp-cloud serve --help` lists them",
                nearest(&variable)
            )));
        };
        let value = value(&variable, &text, *form)?;
        if section.is_empty() {
            table.insert((*key).to_owned(), value);
            continue;
        }
        let inner = table
            .entry(*section)
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = inner else {
            return Err(ConfigError::new(format!("[{section}] must be a section")));
        };
        inner.insert((*key).to_owned(), value);
    }
    Ok(())
}

/// Every variable's name, for `--help`.
pub(super) fn variables() -> impl Iterator<Item = String> {
    KEYS.iter()
        .map(|(section, key, _)| variable_of(section, key))
}

fn variable_of(section: &str, key: &str) -> String {
    let name = match section {
        "" => format!("EASYISP_{key}"),
        _ => format!("EASYISP_{section}_{key}"),
    };
    name.to_ascii_uppercase()
}

fn value(variable: &str, text: &str, form: Form) -> Result<Value, ConfigError> {
    Ok(match form {
        Form::Text => Value::String(text.to_owned()),
        Form::Number => Value::Integer(text.trim().parse().map_err(|_| {
            ConfigError::new(format!("{variable} must be a whole number, not {text:?}"))
        })?),
        Form::Truth => Value::Boolean(text.trim().parse().map_err(|_| {
            ConfigError::new(format!("{variable} must be true or false, not {text:?}"))
        })?),
        Form::List => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| Value::String(part.to_owned()))
            .collect::<Vec<_>>()
            .into(),
        Form::Numbers => {
            let numbers = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            let numbers = numbers.map(|part| part.parse().map(Value::Integer));
            let numbers: Result<Vec<Value>, _> = numbers.collect();
            Value::Array(numbers.map_err(|_| {
                ConfigError::new(format!("{variable} must be whole numbers, not {text:?}"))
            })?)
        }
    })
}

/// A known variable that differs little: most unknown ones are slips.
fn nearest(variable: &str) -> String {
    variables()
        .find(|known| known.ends_with(variable.rsplit('_').next().unwrap_or(variable)))
        .map_or_else(String::new, |known| format!(" (did you mean {known}?)"))
}

/// serde's refusal of the value at `path` as a sentence that names the key.
pub(super) fn explain(path: &str, text: &str) -> String {
    let key = match path.split_once('.') {
        Some((section, key)) => format!("[{section}] {key}"),
        None => path.to_owned(),
    };
    let text = text.lines().next().unwrap_or_default();
    match text.strip_prefix("unknown field ") {
        // serde's path already ends in the unknown key
        Some(rest) => match rest.split_once(", expected ") {
            Some((_, known)) => {
                format!("unknown key {key}; known here: {}", known.replace('`', ""))
            }
            None => format!("unknown key {key}"),
        },
        None => format!("{key}: {text}"),
    }
}
