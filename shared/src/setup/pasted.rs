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
        ":do {{ /tool fetch mode={mode}{check} url=\"{url}\" dst-path=easyisp.rsc }} on-error={{ :error \"{NOT_FETCHED}\" }}; \
         :delay 2s; {}",
        imported("easyisp.rsc")
    )
}

/// What a terminal says where nothing came: RouterOS itself would say that it is not allowed, and no word of what to do.
const NOT_FETCHED: &str = "easyisp: the script did not come. Where /system device-mode print says fetch: no, type \
                           /system device-mode update mode=advanced, press the reset or mode button or cut the power \
                           within 5 minutes, and paste this again once it is up. Otherwise see that the router reaches \
                           the internet and knows a name server (/ip dns)";

/// Imports a file and takes it away, above all where it does not go through: it holds secrets.
pub fn imported(file: &str) -> String {
    format!(
        ":do {{ /import {file} }} on-error={{ :put \"easyisp: not everything was done; see /log print, and take a new \
         command from the wizard\" }}; /file remove [find where name=\"{file}\"];"
    )
}
