//! The script that makes a router so: pasted, fetched or dragged into its files, and imported.

use std::fmt::Write;

use secrecy::ExposeSecret;

use super::wanted::{ALIVE, Item, Step, Value, Which, wanted};
use super::{Release, Setup, is_optional, quote};

/// The script of a router of this release. Imported twice it changes nothing; a step that fails is named in the
/// log and on the terminal, and the others are done.
///
/// It holds the router's secrets.
pub fn script(setup: &Setup, release: Release) -> String {
    let mut script = String::new();
    let steps = wanted(setup, release);
    let of = steps.len();
    // Writing into a String does not fail.
    let mut line = |text: &str| {
        let _ = writeln!(script, "{text}");
    };
    let digit = release.digit();
    line(&format!(
        "# What EasyISP sets up on {}, for RouterOS {digit}.",
        quote(&setup.identity)
    ));
    line(
        "# It holds secrets: remove the file when it is imported. It may be imported again at any time.",
    );
    line(&format!(
        ":if ([:pick [/system resource get version] 0 1] != \"{digit}\") do={{ :error \"easyisp: this script is for RouterOS {digit}; choose the other release\" }}"
    ));
    // Every line of an imported file is a scope of its own: what outlives one is global, and cleared at the end.
    line(":global easyispFailed 0");
    line(":global easyispFolder \"\"");
    line(
        "{ :global easyispFolder; :if ([:len [/file find where name=\"flash\"]] > 0) do={ :set easyispFolder \"flash/\" } }",
    );
    for (place, step) in steps.iter().enumerate() {
        if step.items.is_empty() {
            continue;
        }
        let name = format!("step {} of {of}, {}", place + 1, step.name);
        line("");
        line(&format!(":put \"easyisp: {name}\""));
        line(":do {");
        line("  :global easyispFolder");
        for item in &step.items {
            for command in commands(item) {
                line(&format!("  {command}"));
            }
        }
        line(&on_error(step, &name));
    }
    line("");
    line("{");
    line("  :global easyispFailed");
    line("  :local failed $easyispFailed");
    line("  :set easyispFailed");
    line("  :global easyispFolder");
    line("  :set easyispFolder");
    line(
        "  :if ($failed > 0) do={ :error \"easyisp: $failed steps failed; see /log print, and import the file again\" }",
    );
    line("  :put \"easyisp: all done\"");
    line("}");
    script
}

/// What becomes of a step that fails. A device whose mode knows no scheduler serves as well as any other.
pub(super) fn on_error(step: &Step, name: &str) -> String {
    if step.name == ALIVE {
        return format!(
            "}} on-error={{ :log warning \"easyisp: {name}: not possible here\"; :put \"easyisp: {name}: not possible here\" }}"
        );
    }
    format!(
        "}} on-error={{ :global easyispFailed; :set easyispFailed ($easyispFailed + 1); :log error \"easyisp: {name}: failed\"; :put \"easyisp: {name}: FAILED\" }}"
    )
}

/// What makes one item so. A router without the menu leaves it.
pub(super) fn commands(item: &Item) -> Vec<String> {
    let commands = commands_of(item);
    match is_optional(item.menu) {
        true => vec![where_known(&commands.join("; "))],
        false => commands,
    }
}

fn commands_of(item: &Item) -> Vec<String> {
    let menu = item.menu;
    let fields = fields(item);
    match &item.which {
        Which::Menu => vec![format!("{menu} set{fields}")],
        Which::MenuWhereKnown => vec![where_known(&format!("{menu} set{fields}"))],
        Which::Found(key, value) if menu == "/ip service" => {
            let is = is(key, value);
            // Connections stand among the services there, by the same names, on a release that tells them apart.
            let apart = format!("{menu} set [find where {is} and dynamic!=yes]{fields}");
            vec![format!(
                ":if ([:len [{menu} find where {is}]] > 1) do={{ :local known [:parse {}]; $known }} else={{ {menu} set [find where {is}]{fields} }}",
                quote(&apart)
            )]
        }
        Which::Found(key, value) => {
            vec![format!(
                "{menu} set [find where {}]{fields}",
                is(key, value)
            )]
        }
        Which::FoundWhereKnown(key, value) => vec![where_known(&format!(
            "{menu} set [find where {}]{fields}",
            is(key, value)
        ))],
        Which::Own(key, value) => {
            let is = is(key, value);
            let key = format!("{key}={}", quote(value));
            let mut lines = vec![format!(
                ":if ([:len [{menu} find where {is}]] = 0) do={{ {menu} add {key}{fields} }} else={{ {menu} set [find where {is}]{fields} }}"
            )];
            if menu == "/certificate" {
                lines = signed(&is, &format!("{menu} add {key}{fields}"), value);
            }
            lines
        }
        Which::OwnMarked(key, value, mark) => {
            let is = is(key, value);
            let key = format!("{key}={}", quote(value));
            vec![format!(
                ":if ([:len [{menu} find where {is}]] = 0) do={{ {menu} add {key}{fields} }} else={{ {menu} set [find where {is} and comment={}]{fields} }}",
                quote(mark)
            )]
        }
        Which::OwnFirst(key, value) => {
            let is = is(key, value);
            let key = format!("{key}={}", quote(value));
            let chain = item.chain();
            // A rule for a second agent is made when the one that shuts all others out is there already.
            let ours = match item.accepts() {
                true => "comment~\"^easyisp:\" and action!=drop",
                false => "comment~\"^easyisp:\"",
            };
            vec![
                format!(
                    ":local others [{menu} find where chain=\"{chain}\" and dynamic=no and !({ours})]"
                ),
                format!(
                    ":if ([:len [{menu} find where {is}]] > 0) do={{ {menu} set [find where {is}]{fields} }} else={{ :if ([:len $others] > 0) do={{ {menu} add {key}{fields} place-before=[:pick $others 0] }} else={{ {menu} add {key}{fields} }} }}"
                ),
            ]
        }
        Which::Gone(key, value) => vec![format!("{menu} remove [find where {}]", is(key, value))],
        Which::GoneBut(comment, key, kept) => {
            let kept = kept.iter().fold(String::new(), |mut text, value| {
                let _ = write!(text, " and {key}!={}", quote(value));
                text
            });
            vec![format!(
                "{menu} remove [find where {}{kept}]",
                is("comment", comment)
            )]
        }
    }
}

/// A certificate is signed once; its fields cannot be changed afterwards. Small boards take a minute for the key.
fn signed(is: &str, add: &str, name: &str) -> Vec<String> {
    let unsigned = format!("[:len [/certificate get [find where {is}] fingerprint]] = 0");
    vec![
        format!(":if ([:len [/certificate find where {is}]] = 0) do={{ {add} }}"),
        format!(
            ":if ({unsigned}) do={{ :do {{ /certificate sign {} }} on-error={{ }} }}",
            quote(name)
        ),
        ":local waited 0".to_owned(),
        format!(
            ":while (({unsigned}) and ($waited < 90)) do={{ :delay 1s; :set waited ($waited + 1) }}"
        ),
    ]
}

/// Parsed when it is reached: an older release refuses a whole file for one property that it does not know.
fn where_known(command: &str) -> String {
    format!(
        ":do {{ :local known [:parse {}]; $known }} on-error={{ }}",
        quote(command)
    )
}

fn is(key: &str, value: &str) -> String {
    match (key, value) {
        ("default", value) => format!("{key}={value}"),
        (key, value) => format!("{key}={}", quote(value)),
    }
}

fn fields(item: &Item) -> String {
    item.fields
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let value = match value {
                Value::Word(word) => word.clone(),
                Value::Text(words) => quote(words),
                Value::Secret(secret) => quote(secret.expose_secret()),
                Value::Folder(name) => format!("($easyispFolder . \"{name}\")"),
            };
            let _ = write!(text, " {name}={value}");
            text
        })
}
