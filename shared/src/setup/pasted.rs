//! What is pasted into a router's terminal.

/// How `/tool fetch` is to ask this address: in the clear where it says so, else in TLS.
pub fn mode(url: &str) -> &'static str {
    match url.split_once(':') {
        Some(("http", _)) => "http",
        _ => "https", // what is public has a certificate
    }
}

/// Fetches a script and imports it: one line. It believes whatever certificate it is shown.
pub fn pasted(url: &str) -> String {
    fetched(url, "")
}

/// The same where the router can tell one certificate from another.
pub fn pasted_checked(url: &str) -> String {
    fetched(url, " check-certificate=yes")
}

fn fetched(url: &str, check: &str) -> String {
    let mode = mode(url);
    format!(
        "/tool fetch mode={mode}{check} url=\"{url}\" dst-path=easyisp.rsc; :delay 2s; {}",
        imported("easyisp.rsc")
    )
}

/// Imports a file and takes it away, above all where it does not go through: it holds secrets.
pub fn imported(file: &str) -> String {
    format!(
        ":do {{ /import {file} }} on-error={{ :put \"easyisp: not everything was done; see /log print, and take a new \
         command from the wizard\" }}; /file remove [find where name=\"{file}\"];"
    )
}
